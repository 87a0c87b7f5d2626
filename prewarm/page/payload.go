package page

import (
	"encoding/json"
	"strings"
)

// React's payload in a document of the App Router is a sequence of scripts, each of which hands one piece on:
//
//	self.__next_f.push([1,"…"])
//
// The pieces together are rows "id:json" or "id:TAGjson", one a line, for example
//
//	4:["$","img",null,{"srcSet":"/_next/image?url=… 1x, …"}]
//	:HL["/_next/image?…","image",{"imageSrcSet":"…"}]
//
// The format is React's own and may change. Only what looks exactly like this is read; nothing depends on it but images
// that no element of the document asks for.
const (
	flightBefore = "self.__next_f.push("
	flightAfter  = ")"
	nextDataID   = "__NEXT_DATA__"
)

// flightPiece returns the piece that a script hands on, or "".
func flightPiece(script string) string {
	script = strings.TrimSuffix(strings.TrimSpace(script), ";")
	args, ok := strings.CutPrefix(script, flightBefore)
	if args, closed := strings.CutSuffix(args, flightAfter); ok && closed {
		var push []any
		if json.Unmarshal([]byte(args), &push) == nil && len(push) == 2 && push[0] == 1.0 {
			piece, _ := push[1].(string)
			return piece
		}
	}
	return ""
}

// flightStrings calls found with every string in the JSON of every row.
func flightStrings(rows string, found func(string)) {
	for row := range strings.Lines(rows) {
		_, rest, ok := strings.Cut(row, ":")
		if !ok {
			continue
		}
		// Behind the id an upper-case tag may come, then JSON.
		start := strings.IndexAny(rest, `[{"`)
		if start < 0 || strings.Trim(rest[:start], "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			continue
		}
		jsonStrings(rest[start:], found)
	}
}

// jsonStrings calls found with every string value in a JSON text; names of members are none. What is no JSON has none.
func jsonStrings(text string, found func(string)) {
	var value any
	if json.Unmarshal([]byte(text), &value) != nil {
		return
	}
	stack := []any{value}
	for len(stack) > 0 {
		value, stack = stack[len(stack)-1], stack[:len(stack)-1]
		switch v := value.(type) {
		case string:
			found(v)
		case []any:
			stack = append(stack, v...)
		case map[string]any:
			for _, member := range v {
				stack = append(stack, member)
			}
		}
	}
}
