package validate

import (
	"testing"
)

const (
	chrome  = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
	safari  = "image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
	safari2 = "image/webp, image/avif, image/jxl, image/heic, image/heic-sequence, video/*;q=0.8, image/png, image/svg+xml, image/*;q=0.8, */*;q=0.5"
)

func typicalRules(tb testing.TB) *Rules {
	tb.Helper()
	r, err := Compile(Options{
		DeviceSizes: []int{640, 750, 828, 1080, 1200, 1920, 2048, 3840}, ImageSizes: []int{32, 48, 64, 96, 128, 256, 384},
		Qualities: []int{75}, Formats: []string{"image/avif", "image/webp"},
		RemotePatterns: []RemotePattern{
			{Protocol: new("https"), Hostname: new("cdn.other.com"), Pathname: new("/account123/**")},
			{Protocol: new("https"), Hostname: new("*.example.com"), Pathname: new("/images/**")},
			{Protocol: new("https"), Hostname: new("+(x|y).test")},
		},
		LocalPatterns: []LocalPattern{
			{Pathname: new("/assets/**/*.{png,jpg}"), Search: new("")},
			{Pathname: new("/photos/**"), Search: new("")},
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func BenchmarkCheck(b *testing.B) {
	r := typicalRules(b)
	for _, c := range []struct{ name, query, accept string }{
		{"local", "url=%2Fphotos%2Fsummer%2Fbeach-2048.jpg&w=1080&q=75", chrome},
		{"local/globstar", "url=%2Fassets%2Fsummer%2Fbeach-2048.jpg&w=1080&q=75", chrome},
		{"local/safari", "url=%2Fphotos%2Fsummer%2Fbeach-2048.jpg&w=1080&q=75", safari},
		{"local/blanks", "url=%2Fphotos%2Fsummer%2Fbeach-2048.jpg&w=1080&q=75", safari2},
		{"remote", "url=https%3A%2F%2Fimg.example.com%2Fimages%2Fa%2Fb%2Fbeach-2048.jpg%3Fv%3D12&w=1080&q=75", chrome},
		{"remote/canonicalised", "url=https%3A%2F%2FIMG.example.com%2Fimages%2Fa%20b%2F..%2Fbeach-2048.jpg%3Fv%3D12&w=1080&q=75", chrome},
		{"remote/international", "url=https%3A%2F%2Fm%C3%BCnchen.example.com%2Fimages%2Fbeach-2048.jpg%3Fv%3D12&w=1080&q=75", chrome},
		{"remote/regexp2", "url=https%3A%2F%2Fy.test%2Fimages%2Fbeach-2048.jpg&w=1080&q=75", chrome},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Check(c.query, c.accept); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("refused", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.Check("url=%2Fother%2Fsummer%2Fbeach-2048.jpg&w=1080&q=75", chrome); err == nil {
				b.Fatal("allowed")
			}
		}
	})
}
