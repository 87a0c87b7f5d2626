//go:build e2e

package e2e

import "strings"

// acceptGroups test the negotiation of the output format.
func acceptGroups() []group {
	return []group{
		{name: "accept", variant: "default", run: accepts},
		{name: "accept", variant: "formats", run: accepts},
		{name: "accept", variant: "basepath", run: accepts},
		{name: "accept", variant: "tuned", run: accepts},
	}
}

// acceptHeaders are real browsers' headers, then everything the grammar and its abuse allow. "-" sends none.
var acceptHeaders = []string{
	"-", "", " ", "*/*", "image/*", "*", "*/*;q=0.8", "image/*;q=0.5", "image/*,*/*;q=0.8",
	// Chrome, Firefox (old and new), Safari, curl, images in a document, a navigation.
	"image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
	"image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
	"image/avif,image/webp,*/*", "image/webp,*/*", "image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
	"image/webp,image/avif,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", "image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5",
	"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
	"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
	// One or both, in either order and with weights.
	"image/webp", "image/avif", "image/webp,image/avif", "image/avif,image/webp", "image/avif;q=0.5,image/webp", "image/avif,image/webp;q=0.5", "image/avif;q=0.5,image/webp;q=0.9", "image/avif;q=0.9,image/webp;q=0.5", "image/avif;q=0,image/webp", "image/avif,image/webp;q=0", "image/avif;q=0,image/webp;q=0", "image/webp;q=0,*/*", "image/webp;q=0,image/*", "image/avif;q=0,image/*",
	"image/webp;q=0.001", "image/webp;q=0.0001", "image/webp;q=1", "image/webp;q=1.0", "image/webp;q=1.000", "image/webp;q=1.0000", "image/webp;q=1.1", "image/webp;q=2", "image/webp;q=-1", "image/webp;q=.5", "image/webp;q=", "image/webp;q", "image/webp;q=a", "image/webp;q=0.5.5", "image/webp;q=00.5", "image/webp;q=0,5", "image/webp;q=NaN", "image/webp;q=1e-1", "image/webp;q=\"0.5\"", "image/webp;q= 0.5", "image/webp; q=0.5", "image/webp ;q=0.5", "image/webp ; q = 0.5", "image/webp;Q=0.5", "image/webp;q=0.5;q=1", "image/webp;q=1;q=0", "image/webp;x=1;q=0.5", "image/webp;q=0.5;x=1", "image/webp;level=1", "image/webp;level=1;q=0", "image/avif;level=1,image/webp;q=0.9", "image/webp;\tq=0.5",
	// Weights of ranges against those of types.
	"image/webp;q=0.5,image/*;q=0.9", "image/*;q=0.9,image/webp;q=0.5", "image/avif;q=0.3,image/webp;q=0.2,*/*;q=0.8", "*/*;q=0.1,image/webp;q=0.2,image/avif;q=0.3", "image/*;q=0.4,image/avif;q=0.2,image/webp;q=0.3", "*/*,image/webp;q=0.1", "image/*,image/avif;q=0.1", "image/*,image/avif;q=0", "*/*,image/avif;q=0,image/webp;q=0",
	"image/png,image/webp;q=0.5", "image/jpeg", "image/png", "image/gif,image/jpeg", "image/jxl", "text/html", "text/html,image/webp;q=0.1", "text/*", "application/json",
	// Letters, spaces, separators.
	"IMAGE/WEBP", "Image/WebP", "image/WEBP", "image/webp,IMAGE/AVIF", "IMAGE/AVIF,image/webp", "IMAGE/*,image/webp;q=0.1", " image/webp", "image/webp ", "\timage/webp\t", "image/webp , image/avif", "image/webp,,image/avif", ",image/webp", "image/webp,", ",,,", ",", ";", "image/webp;", "image/webp;;", ";image/webp", "image/webp image/avif", "image/webp;image/avif", "image /webp", "image/ webp", "image / webp",
	// No media types at all, or only nearly.
	"image", "image/", "/webp", "/", "webp", "avif,webp", "image/webpx", "ximage/webp", "image/webp/x", "image/web", "image/webp+xml", "image/x-webp", "*/webp", "*/avif", "image/w*", "image/*webp", "**/*", "*/*/*", "image/**", "\"image/webp\"", "image/\"webp\"", "<image/webp>", "image\\webp", "image%2Fwebp", "image/wébp", "image/webp;é=1", "(image/webp)", "image/webp;a=\"b,image/avif\"", "image/webp;a=\"b;q=0\"", "image/avif;a=\"", "text/html;x=\"image/avif\"", "text/html;x=image/webp", "text/image/webp", "x-image/webp,*/*", "image/*;x=image/webp", "*/*;image/webp", "image/*,x/image/webp", "image/*;q=0.5,ximage/avifx",
	strings.Repeat("text/plain,", 300) + "image/webp", strings.Repeat("image/webp;q=0.1,", 200) + "image/avif;q=0.05", "image/webp" + strings.Repeat(" ", 500), strings.Repeat("a", 3000) + "/b,image/webp",
}

func accepts(s *session) {
	width := map[string]int{"default": 32, "formats": 16, "basepath": 32, "tuned": 24}[s.variant]
	for _, source := range []string{"/assets/small.png", "/assets/still.webp"} {
		target := s.image(s.base+source, width, 75)
		for _, accept := range acceptHeaders {
			if accept == "-" {
				s.get(source+" without Accept", target)
				continue
			}
			s.get(source+" Accept: "+shorten(accept), target, "Accept: "+accept)
		}
		s.get(source+" two Accept lines", target, "Accept: text/html", "Accept: image/webp")
		s.get(source+" two Accept lines, the better second", target, "Accept: image/webp;q=0.5", "accept: image/avif")
		s.get(source+" three Accept lines", target, "ACCEPT: image/avif;q=0", "Accept: */*", "Accept: image/webp")
		s.get(source+" an empty and a full Accept line", target, "Accept:", "Accept: image/webp")
		s.get(source+" a folded name", target, "aCCePt: image/webp")
		s.get(source+" no space after the colon", target, "Accept:image/webp")
	}
}
