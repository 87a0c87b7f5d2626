package cache

import (
	"io"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// headSize is how much of a file is read to have its header: those with longer ones, which takes a url of thousands of
// characters, are read whole.
const headSize = 4096

var heads = sync.Pool{New: func() any { return new([headSize]byte) }}

// Opened is a fresh entry in a file that is open and of which only the header has been read. It is no Entry, so that one
// without a body can get neither into a store nor to a client.
//
// The header has been checked. The body is checked whenever a Get reads it; Sendable tells whether one did. The file
// is there until Close, whatever becomes of the entry in the meantime. An Opened is used by one goroutine.
type Opened struct {
	entry  Entry // without its body
	disk   *Disk
	key    Key
	path   string
	st     unix.Stat_t
	fd     int
	offset int64
	size   int64
	// window is how recently the entry must have been asked for to be worth a place in a faster tier: see again.
	window int64
}

// Href is the source's url.
func (o *Opened) Href() string { return o.entry.Href }

// ContentType is the media type of the body.
func (o *Opened) ContentType() string { return o.entry.ContentType }

// ETag is the entity tag as sent to clients, without quotes.
func (o *Opened) ETag() string { return o.entry.ETag }

// MaxAge is what Cache-Control's max-age says, in seconds.
func (o *Opened) MaxAge() int64 { return o.entry.MaxAge }

// State reports whether the entry is fresh at now.
func (o *Opened) State(now time.Time) State { return o.entry.State(now) }

// Size is the length of the body in bytes.
func (o *Opened) Size() int64 { return o.size }

// Wanted reports whether a faster tier ought to have the entry, as it has been asked for before and not long ago: then
// Get is to be asked, which sees to that. It is asked once.
func (o *Opened) Wanted() bool { return o.disk.index.again(o.key, o.size, o.window) }

// Sendable reports whether the body may be sent from the file. It must not when nobody has checked it since this process
// began or the file changed: then Get is to be asked, which does.
func (o *Opened) Sendable() bool { return o.disk.index.sound(o.key, fileMark(&o.st)) }

// Hit counts the use of the entry, as Get does. Who finds out that Get has to be asked does not call it.
func (o *Opened) Hit() {
	o.disk.hits.Add(1)
	o.disk.used(o.key, o.path, &o.st)
}

// File is where the body is. The descriptor is o's, and for reading at given offsets only.
func (o *Opened) File() (fd int, offset int64) { return o.fd, o.offset }

// ReadAt reads from the body. It is an io.ReaderAt.
func (o *Opened) ReadAt(b []byte, at int64) (int, error) {
	if at < 0 || at >= o.size {
		return 0, io.EOF
	}
	short := at+int64(len(b)) > o.size
	if short {
		b = b[:o.size-at]
	}
	for got := 0; ; {
		n, err := unix.Pread(o.fd, b[got:], o.offset+at+int64(got))
		got += max(n, 0)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return got, ioError("read", err)
		case got == len(b) && short:
			return got, io.EOF
		case got == len(b):
			return got, nil
		case n == 0:
			return got, io.ErrUnexpectedEOF
		}
	}
}

// Close closes the file. Closing twice is harmless.
func (o *Opened) Close() error {
	fd := o.fd
	if fd < 0 {
		return nil
	}
	o.fd = -1
	if err := unix.Close(fd); err != nil && err != unix.EINTR {
		return ioError("close", err)
	}
	return nil
}

// open opens the file of k and reads its header. It returns nil for whatever is not a sound header of an entry that is
// there and has not been purged: what to do about that, and count, is Get's affair.
func (d *Disk) open(k Key) *Opened {
	if d.closed.Load() {
		return nil
	}
	o := &Opened{disk: d, key: k, path: d.path(k)}
	var err error
	if o.fd, err = openRegular(o.path, &o.st); err != nil {
		return nil
	}
	if !d.readHead(o) {
		_ = o.Close() // opened for reading: nothing can be lost
		return nil
	}
	return o
}

// readHead reads the header, and reports whether there is one and the file has the length that it says.
func (d *Disk) readHead(o *Opened) bool {
	buf := heads.Get().(*[headSize]byte)
	defer heads.Put(buf)
	n, err := unix.Pread(o.fd, buf[:], 0) // a short or interrupted read is as good as a short file
	if err != nil {
		return false
	}
	body, err := readHeader(&o.entry, o.key, buf[:n])
	if err != nil || uint64(o.st.Size) != uint64(body.offset)+body.length {
		return false
	}
	o.offset, o.size = int64(body.offset), int64(body.length)
	return d.purges == nil || !d.purges.Purged(&o.entry)
}

// fileMark tells a file from any other and from itself after a change, of its bytes or of anything else: a change sets
// st_ctime, which no call can set to anything but the present.
func fileMark(st *unix.Stat_t) uint64 {
	const odd = 0x9e3779b97f4a7c15 // a product with it differs whenever a factor does
	m := uint64(st.Ctim.Nano())*odd ^ (st.Ino*odd+uint64(st.Size))*odd>>1
	return max(m, 1)
}

// opener is a tier that can open an entry instead of reading it.
type opener interface {
	open(k Key) *Opened
}

// holder is a tier that finds at once, and that others need not be opened for.
type holder interface {
	// holds reports whether there is an entry of k, without counting it as asked for.
	holds(k Key) bool
	// window returns within how many bytes of other answers an entry of size bytes has to be asked for again to be
	// worth a place here; 0: never.
	window(size int64) int64
}

// Open returns the entry of k, open, if Get would find it on disk, fresh, in the first tier that has it, and nil
// otherwise. Then, and if the entry is not to be sent from its file, Get has to be asked. The caller closes what it gets.
//
// It waits for the disk, never for a network.
func (t *Tiered) Open(k Key) *Opened {
	var faster holder
	for i := range t.tiers {
		switch s := t.tiers[i].Store.(type) {
		case holder:
			// A stale entry has to be compared with what the others have.
			if faster != nil || s.holds(k) {
				return nil
			}
			faster = s
		case opener:
			o := s.open(k)
			if o == nil {
				return nil
			}
			if t.purges.Purged(&o.entry) || o.entry.State(time.Now()) != Hit {
				_ = o.Close() // opened for reading: nothing can be lost
				return nil
			}
			if faster != nil {
				o.window = faster.window(o.size)
			}
			return o
		default:
			return nil
		}
	}
	return nil
}
