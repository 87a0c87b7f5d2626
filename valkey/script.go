package valkey

import (
	"context"
	"time"

	vk "github.com/valkey-io/valkey-go"
)

// Script is a Lua script, which runs on the server as one step. It is sent once to each server and called by its hash
// from then on. A script that begins with "#!lua flags=allow-oom" also runs when memory is full.
type Script struct{ lua *vk.Lua }

// NewScript returns a script. Only one that may run twice for one call, because that changes nothing, is repeatable:
// it is tried again when a connection is lost before the answer.
func NewScript(text string, repeatable bool) *Script {
	if repeatable {
		return &Script{vk.NewLuaScriptRetryable(text)}
	}
	return &Script{vk.NewLuaScript(text)}
}

// Run runs the script. All keys must be in one slot (see Client.Key), and there must be at least one. limit and
// errors are those of Client.Do. args may be binary: see Binary.
func (s *Script) Run(ctx context.Context, c *Client, limit time.Duration, keys, args []string) (Message, error) {
	return Call(ctx, c, keys[0], limit, func(ctx context.Context, inner vk.Client) (Message, error) {
		return s.lua.Exec(ctx, inner, keys, args).ToMessage()
	})
}

// Binary returns b as an argument of a command, without a copy: b must not be changed any more.
func Binary(b []byte) string { return vk.BinaryString(b) }
