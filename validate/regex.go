package validate

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dlclark/regexp2/v2"
)

// matchTimeout bounds one match of a regular expression. Some patterns take exponential time for some urls; whoever
// sends such a url gets it refused. The package measures in steps of about 100 ms.
const matchTimeout = 250 * time.Millisecond

// compileJS compiles a JavaScript regular expression (no flags). It fails where JavaScript fails.
func compileJS(source string) (*regexp2.Regexp, error) {
	if err := checkGroups(source); err != nil {
		return nil, err
	}
	re, err := regexp2.Compile(source, regexp2.ECMAScript)
	if err != nil {
		return nil, fmt.Errorf("compile regular expression: %w", err)
	}
	re.MatchTimeout = matchTimeout
	return re, nil
}

// checkGroups refuses the groups that .NET has and JavaScript has not, because regexp2 knows them in every mode:
// conditions, comments, inline flags, atomic and balancing groups.
func checkGroups(source string) error {
	class := false
	for i := 0; i < len(source); i++ {
		switch c := source[i]; {
		case c == '\\':
			i++
		case c == '[':
			class = true
		case c == ']':
			class = false
		case !class && strings.HasPrefix(source[i:], "(?"):
			if !isGroupStart(source[i+2:]) {
				return fmt.Errorf("compile regular expression: invalid group at %q", source[i:])
			}
		}
	}
	return nil
}

// isGroupStart reports whether s, which follows "(?", starts a group that JavaScript knows.
func isGroupStart(s string) bool {
	if s == "" || !isGroupFlag(rune(s[0])) {
		return false
	}
	if s[0] != '<' || strings.HasPrefix(s, "<=") || strings.HasPrefix(s, "<!") {
		return true
	}
	name, _, ok := strings.Cut(s[1:], ">")
	return ok && isWord(name) && !isDigit(name[0])
}

// matcher is a compiled glob or regular expression.
type matcher struct {
	linear *linear         // set if the expression is one of the simple kind
	re     *regexp2.Regexp // set otherwise, unless nothing can match
}

// newMatcher compiles a JavaScript regular expression.
func newMatcher(source string) (matcher, error) {
	if l := parseLinear(source); l != nil {
		return matcher{linear: l}, nil
	}
	re, err := compileJS(source)
	return matcher{re: re}, err
}

// errNeverMatches says that picomatch makes an invalid expression of a glob and therefore lets it match nothing.
var errNeverMatches = errors.New("is not a valid pattern and matches nothing")

// newGlobMatcher compiles a glob. With errNeverMatches the matcher can be used and refuses everything.
func newGlobMatcher(glob string, dot bool) (matcher, error) {
	source, err := translate(glob, dot)
	if err != nil {
		return matcher{}, err
	}
	m, err := newMatcher(source)
	if err != nil {
		return matcher{}, fmt.Errorf("%w: %w", errNeverMatches, err)
	}
	return m, nil
}

// match reports whether s, which is ASCII, matches. An error means that it took too long to find out.
func (m matcher) match(s string) (bool, error) {
	switch {
	case m.linear != nil:
		return m.linear.match(s), nil
	case m.re != nil:
		return m.re.MatchString(s)
	}
	return false, nil
}
