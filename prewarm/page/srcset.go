package page

import (
	"strconv"
	"strings"
)

// Srcset returns the urls of an image candidate string (srcset, imagesrcset) in their order, as the HTML Standard
// parses it (4.8.4.3.10 "parsing a srcset attribute"): a url may hold commas and ends at white space, descriptors may
// hold commas in parentheses, and a candidate with descriptors that contradict each other is dropped.
func Srcset(s string) []string {
	var urls []string
	for {
		s = strings.TrimLeft(s, asciiSpace+",")
		if s == "" {
			return urls
		}
		end := strings.IndexAny(s, asciiSpace)
		if end < 0 {
			end = len(s)
		}
		url := s[:end]
		s = s[end:]
		if bare := strings.TrimRight(url, ","); bare != url {
			urls = append(urls, bare) // the comma ends the candidate: no descriptors
			continue
		}
		var descriptors []string
		if descriptors, s = splitDescriptors(s); validDescriptors(descriptors) {
			urls = append(urls, url)
		}
	}
}

// asciiSpace is ASCII white space in the sense of the Infra Standard.
const asciiSpace = " \t\n\f\r"

// splitDescriptors reads descriptors up to the comma that ends the candidate, and returns what follows that comma.
func splitDescriptors(s string) (descriptors []string, rest string) {
	start, depth := -1, 0
	flush := func(end int) {
		if start >= 0 {
			descriptors = append(descriptors, s[start:end])
		}
		start = -1
	}
	for i := range len(s) {
		switch c := s[i]; {
		case depth > 0:
			if c == ')' {
				depth = 0
			}
		case strings.IndexByte(asciiSpace, c) >= 0:
			flush(i)
		case c == ',':
			flush(i)
			return descriptors, s[i+1:]
		default:
			if c == '(' {
				depth = 1
			}
			if start < 0 {
				start = i
			}
		}
	}
	flush(len(s))
	return descriptors, ""
}

// validDescriptors reports whether a browser would consider the candidate: at most one width or density, and a height
// only beside a width.
func validDescriptors(descriptors []string) bool {
	var width, density, height bool
	for _, d := range descriptors {
		value, kind := d[:len(d)-1], d[len(d)-1]
		switch {
		case kind == 'w' && validLength(value) && !width && !density:
			width = true
		case kind == 'x' && validDensity(value) && !width && !density && !height:
			density = true
		case kind == 'h' && validLength(value) && !height && !density:
			height = true
		default:
			return false
		}
	}
	return width || !height
}

// validLength reports whether s is a valid positive integer.
func validLength(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return strings.Trim(s, "0") != ""
}

// validDensity reports whether s is a valid floating-point number that is not negative. Go's own syntax knows more
// forms (hexadecimal, underscores, Inf, a leading "+" or a trailing dot) than HTML does.
func validDensity(s string) bool {
	if strings.Trim(s, "0123456789.eE+-") != "" || strings.HasPrefix(s, "+") || strings.HasSuffix(s, ".") || strings.Contains(s, ".e") || strings.Contains(s, ".E") {
		return false
	}
	f, err := strconv.ParseFloat(s, 64)
	return err == nil && f >= 0
}
