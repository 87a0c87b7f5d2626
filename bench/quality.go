package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"imgopt/bench/quality/protocol"
	"imgopt/transform"
)

// qualityFormats are those that profiles differ in, with their media types.
var qualityFormats = []struct{ name, media string }{{"jpeg", transform.JPEG}, {"webp", transform.WebP}, {"avif", transform.AVIF}}

// qualityPlan is what is measured. The quality that most ask for is measured at all widths, the others at one and once;
// larger widths, which take longest, of some photos only.
type qualityPlan struct {
	Widths    []int
	Qualities []int
	// Main is the quality of all widths, MainWidth the width of all qualities.
	Main, MainWidth int
	// Every says by width that only every second photo is taken, or every third; without it all are.
	Every map[int]int `json:",omitempty"`
	// Second is the width at which Butteraugli scores, too, images of the main quality.
	Second int
}

var (
	fullQuality  = qualityPlan{Widths: []int{640, 828, 1920}, Qualities: []int{50, 75, 90}, Main: 75, MainWidth: 640, Every: map[int]int{828: 2, 1920: 3}, Second: 828}
	quickQuality = qualityPlan{Widths: []int{640}, Qualities: []int{75}, Main: 75, MainWidth: 640, Second: 640}
)

// qualityCase is a photo with what may be asked for: all profiles answer it.
type qualityCase struct {
	photo          string
	width, quality int
	format, media  string
}

func (p qualityPlan) cases(photos []string) []qualityCase {
	var out []qualityCase
	for _, width := range slices.Backward(slices.Sorted(slices.Values(p.Widths))) { // what takes longest is first
		for i, photo := range photos {
			if every := p.Every[width]; every > 0 && i%every != 0 {
				continue
			}
			for _, q := range p.Qualities {
				if q != p.Main && width != p.MainWidth {
					continue
				}
				for _, format := range qualityFormats {
					out = append(out, qualityCase{photo, width, q, format.name, format.media})
				}
			}
		}
	}
	return out
}

// qualityImage is one image: what it cost, and what it looks like.
type qualityImage struct {
	Photo   string
	Width   int
	Quality int // asked for
	Format  string
	Profile transform.Profile
	Bytes   int64
	// Score is SSIMULACRA2's, Norm Butteraugli's 3-norm, 0 where it was not measured.
	Score, Norm float64
	// CPU has processor seconds, one for each round.
	CPU []float64

	file, sum string
}

// MarshalText keeps an image in one line: there are more than thousand.
func (i qualityImage) MarshalText() ([]byte, error) {
	b := fmt.Appendf(nil, "%s %d %d %s %s %d %.4f %.4f", i.Photo, i.Width, i.Quality, i.Format, i.Profile, i.Bytes, i.Score, i.Norm)
	for _, cpu := range i.CPU {
		b = fmt.Appendf(b, " %.4f", cpu)
	}
	return b, nil
}

// qualityColumns says what MarshalText writes.
const qualityColumns = "photo width quality format profile bytes SSIMULACRA2 Butteraugli CPU-seconds-of-each-round…"

// measureQuality makes and scores all images. First all are made, so that nothing but encoders runs while their time is
// taken, then all are scored.
func measureQuality(ctx context.Context, s settings, r *report) error {
	plan := fullQuality
	photos, err := photosIn(s.photos)
	if err != nil {
		return err
	}
	if s.quick {
		plan, photos = quickQuality, photos[:2]
	}
	dir, err := tempDir()
	if err != nil {
		return err
	}
	defer removeDir(dir)
	result := &qualityResult{qualityPlan: plan, Photos: len(photos), Columns: qualityColumns, Encodings: usedEncodings(plan.Qualities)}
	r.Quality = result

	cases := plan.cases(photos)
	began := time.Now()
	if err := result.encode(ctx, s, cases, dir); err != nil {
		return err
	}
	fmt.Printf("quality: %d images of %d photos made in %s\n", len(result.Images), len(photos), time.Since(began).Round(time.Second))
	began = time.Now()
	if err := result.score(ctx, s, photos, dir); err != nil {
		return err
	}
	fmt.Printf("quality: scored in %s\n", time.Since(began).Round(time.Second))
	return nil
}

// photosIn returns the photographs of a folder that scripts/photos has filled.
func photosIn(dir string) ([]string, error) {
	var photos []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".jpg" {
			photos = append(photos, path)
		}
		return err
	})
	if err != nil || len(photos) < 2 {
		return nil, errors.Join(fmt.Errorf("%d photos in %s: run scripts/photos", len(photos), dir), err)
	}
	return photos, nil // in order, as WalkDir goes
}

// bare is what is measured beside the profiles, once for each photo and width: the cheapest encoding that there is. What it
// costs is decoding and resizing, which no encoding makes cheaper, and little else.
const bare transform.Profile = "bare"

var cheapest = transform.Encoding{Quality: 1, Subsample: true} // of JPEG

// encodings are those of all profiles for one case.
func (p qualityPlan) encodings(c qualityCase) ([]transform.Profile, []transform.Encoding) {
	profiles := transform.Profiles()
	var out []transform.Encoding
	for _, p := range profiles {
		out = append(out, encodingOf(p, c.media, c.quality))
	}
	if c.media == transform.JPEG && c.quality == p.Main {
		return append(profiles, bare), append(out, cheapest)
	}
	return profiles, out
}

// encodingOf is what a profile tells the encoder. Its width has no say in it.
func encodingOf(p transform.Profile, media string, asked int) transform.Encoding {
	return transform.Options{Mozjpeg: true, Profile: p}.Encoding(transform.Spec{Width: 828, Quality: asked, Output: media})
}

func (r *qualityResult) encode(ctx context.Context, s settings, cases []qualityCase, dir string) error {
	c, err := encoders(ctx, s)
	if err != nil {
		return err
	}
	defer c.stop()
	images := make([][]qualityImage, len(cases))
	err = c.share(ctx, len(cases), func(t *talker, i int) error {
		c := cases[i]
		profiles, encodings := r.encodings(c)
		rounds := s.qualityRounds
		if c.quality != r.Main {
			rounds = 1
		}
		made, err := encode(t, protocol.EncodeRequest{Source: c.photo, Width: c.width, Format: c.media, Encodings: encodings,
			Rounds: rounds, Prefix: filepath.Join(dir, strconv.Itoa(i))})
		if err != nil {
			return err
		}
		for k, m := range made {
			images[i] = append(images[i], qualityImage{Photo: photoName(c.photo), Width: c.width, Quality: c.quality, Format: c.format, Profile: profiles[k],
				Bytes: m.Bytes, CPU: m.CPU, file: m.File, sum: m.SHA256})
		}
		return nil
	})
	r.Images = slices.Concat(images...)
	return err
}

func photoName(path string) string {
	return strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
}

// score scores the images. Equal ones, of several profiles, are scored once.
func (r *qualityResult) score(ctx context.Context, s settings, photos []string, dir string) error {
	c, tools, err := scorers(ctx, s, dir)
	if err != nil {
		return err
	}
	defer c.stop()
	r.Tools = tools
	if v := firstLine(ctx, []string{"dpkg-query", "-W", "-f", "${Version}", "libjxl-devtools"}); v != "" && v[0] >= '0' && v[0] <= '9' {
		r.Tools["butteraugli_main"] = v
	}
	type job struct {
		photo string
		width int
	}
	images := map[job]map[string][]*qualityImage{} // by their bytes
	paths := map[string]string{}
	for _, p := range photos {
		paths[photoName(p)] = p
	}
	for i := range r.Images {
		m := &r.Images[i]
		if m.Profile == bare {
			continue
		}
		j := job{paths[m.Photo], m.Width}
		if images[j] == nil {
			images[j] = map[string][]*qualityImage{}
		}
		images[j][m.sum] = append(images[j][m.sum], m)
	}
	jobs := slices.SortedFunc(maps.Keys(images), func(a, b job) int { return cmp.Or(cmp.Compare(b.width, a.width), cmp.Compare(a.photo, b.photo)) })
	return c.share(ctx, len(jobs), func(t *talker, i int) error {
		j := jobs[i]
		q := protocol.ScoreRequest{Source: j.photo, Width: j.width, Butteraugli: j.width == r.Second}
		equal := slices.Collect(maps.Values(images[j]))
		for _, e := range equal {
			q.Files = append(q.Files, e[0].file)
		}
		a, err := score(t, q)
		if err != nil {
			return err
		}
		for k, e := range equal {
			for _, m := range e {
				m.Score = a.Scores[k]
				if q.Butteraugli {
					m.Norm = a.Norms[k]
				}
			}
		}
		for _, f := range q.Files {
			if err := os.Remove(f); err != nil {
				return err
			}
		}
		return nil
	})
}
