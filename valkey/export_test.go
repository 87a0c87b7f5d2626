package valkey

// Rebuild replaces valkey-go's client, which otherwise happens when nothing has worked for a while.
func (c *Client) Rebuild() { c.rebuild() }
