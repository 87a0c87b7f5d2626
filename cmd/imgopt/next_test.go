package main

import (
	"net/http"
	"path/filepath"
	"testing"
)

// serve answers as the Next.js build it is given says.
func TestServeNextBuild(t *testing.T) {
	t.Parallel()
	const photo = "?url=%2Fdocs%2Fphoto-640.jpg&w=64&q=75"
	for _, build := range []struct {
		name     string
		flags    []string
		requests []request
	}{
		{"basepath", nil, []request{
			{path: "/docs/_next/image/" + photo, header: map[string]string{"Content-Type": "image/webp"}},
			{path: "/docs/_next/image" + photo, status: http.StatusPermanentRedirect, header: map[string]string{"Location": "/docs/_next/image/" + photo}},
			{path: "/_next/image/" + photo, status: http.StatusNotFound},
			{path: "/_next/image" + photo, status: http.StatusNotFound},
		}},
		{"patterns", nil, []request{
			// Of the local patterns, /assets/** does not allow a query and /uploads/** does.
			{path: imagePath("/photo-640.jpg", 640), status: 400, text: `"url" parameter is not allowed`},
			{path: imagePath("/assets/photo.jpg?v=1", 640), status: 400, text: `"url" parameter is not allowed`},
			{path: imagePath("/assets/photo.jpg", 64), status: 400, text: `"w" parameter (width) of 64 is not allowed`},
			{path: imagePath("/assets/photo.jpg", 750), status: 400, text: `"w" parameter (width) of 750 is not allowed`},
			{path: "/_next/image?url=%2Fassets%2Fphoto.jpg&w=16&q=80", status: 400, text: `"q" parameter (quality) of 80 is not allowed`},
			{path: "/_next/image?url=%2Fassets%2Fphoto.jpg&w=16&q=100", header: map[string]string{
				"Content-Type":            "image/avif",
				"Content-Disposition":     `inline; filename="photo.avif"`,
				"Content-Security-Policy": "default-src 'none'",
				"Cache-Control":           "public, max-age=60, must-revalidate",
			}},
			{path: imagePath("/uploads/photo.jpg?v=1", 32), header: map[string]string{"Content-Type": "image/avif"}},
		}},
		// What is given explicitly wins over the build.
		{"patterns", []string{"--images.formats=image/webp", "--images.imageSizes=64", "--basePath=/shop"}, []request{
			{path: "/shop" + imagePath("/assets/photo.jpg", 64), header: map[string]string{"Content-Type": "image/webp"}},
			{path: "/shop" + imagePath("/assets/photo.jpg", 32), status: 400, text: `"w" parameter (width) of 32 is not allowed`},
			{path: imagePath("/assets/photo.jpg", 64), status: http.StatusNotFound},
		}},
		{"unoptimized", nil, []request{{path: imagePath("/photo-640.jpg", 640), status: http.StatusNotFound}}},
		{"loader", nil, []request{{path: imagePath("/photo-640.jpg", 640), status: http.StatusNotFound}}},
		{"defaults", nil, []request{{path: imagePath("/photo-640.jpg", 640), header: map[string]string{"Content-Type": "image/webp"}}}},
	} {
		t.Run(build.name, func(t *testing.T) {
			o := newOrigin(t, testImage(t, "photo-640.jpg"))
			dir := filepath.Join("../../config/testdata/next", build.name)
			p := startService(t, append(build.flags, "--origin="+o.URL, "--nextDir="+dir, "--transform.workers=1")...)
			for _, r := range build.requests {
				got := get(t, p.public+r.path, "Accept", "image/avif,image/webp")
				if r.status == 0 {
					r.status = http.StatusOK
				}
				if got.status != r.status || r.text != "" && string(got.body) != r.text {
					t.Errorf("%s: %v, want %d %s", r.path, got, r.status, r.text)
					continue
				}
				checkHeader(t, got, r.header)
			}
		})
	}
}

// request is what is asked and what must come.
type request struct {
	path   string
	status int // 0: 200
	text   string
	header map[string]string
}
