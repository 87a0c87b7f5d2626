package main

import (
	"log/slog"

	"golang.org/x/sys/unix"

	"imgopt/config"
)

// reservedDescriptors is what the service opens besides its clients' connections: connections to origins and those
// kept idle, files of the caches, the codecs' sockets and areas.
const reservedDescriptors = 896

// connectionLimit is maxConnections, or less where the process may not open so many files: connections that cannot be
// accepted would take the admin listener and the fetching of images down with them.
func connectionLimit(c *config.Config, log *slog.Logger) int {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return c.MaxConnections
	}
	limit := connectionsWithin(c.MaxConnections, files.Cur)
	if limit < c.MaxConnections {
		log.Warn("the process may open too few files for maxConnections; fewer connections are served at once",
			"maxConnections", c.MaxConnections, "served", limit, "RLIMIT_NOFILE", files.Cur)
	}
	return limit
}

// connectionsWithin is how many connections there may be under a limit of files. Half is the least: with so few files
// nothing works well.
func connectionsWithin(wanted int, files uint64) int {
	if files >= uint64(wanted)+reservedDescriptors {
		return wanted
	}
	return max(int(files)-reservedDescriptors, int(files/2), 1)
}
