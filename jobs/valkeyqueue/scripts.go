package valkeyqueue

import (
	"embed"

	"imgopt/valkey"
)

//go:embed lua/*.lua
var lua embed.FS

// The scripts, by what they do. Those that may run although memory is full are what empties the queue; enqueueing is
// not one of them. Repeatable are those that change nothing more when they run twice.
var scripts = struct {
	enqueue, lease, extend, complete, requeue, handback, withdraw, look, mine, leave, cancel, tick, view, registry, wipe *valkey.Script
}{
	enqueue:  valkey.NewScript("#!lua\n"+source("common")+source("enqueue"), true),
	lease:    script(false, "lease"),
	extend:   script(true, "extend"),
	complete: script(false, "complete"),
	requeue:  script(true, "requeue"),
	handback: script(true, "handback"),
	withdraw: script(true, "withdraw"),
	look:     script(true, "look"),
	mine:     script(true, "mine"),
	leave:    script(true, "leave"),
	cancel:   script(true, "cancel"),
	tick:     script(true, "stats", "tick"),
	view:     script(true, "stats", "view"),
	registry: script(true, "registry"),
	wipe:     script(true, "wipe"),
}

func script(repeatable bool, parts ...string) *valkey.Script {
	text := "#!lua flags=allow-oom\n" + source("common")
	for _, p := range parts {
		text += source(p)
	}
	return valkey.NewScript(text, repeatable)
}

func source(name string) string {
	b, err := lua.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // it is part of this program
	}
	return string(b)
}
