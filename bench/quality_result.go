package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"imgopt/transform"
)

// qualityResult has all images, and what made and scored them.
type qualityResult struct {
	qualityPlan
	Photos int
	// Tools are the versions of what scores.
	Tools     map[string]string
	Encodings []usedEncoding
	// Columns says what the lines of Images have.
	Columns string
	Images  []qualityImage
}

// usedEncoding is what a profile told the encoder.
type usedEncoding struct {
	Format   string
	Profile  transform.Profile
	Asked    int
	Encoding transform.Encoding
}

func usedEncodings(qualities []int) []usedEncoding {
	var out []usedEncoding
	for _, f := range qualityFormats {
		for _, p := range transform.Profiles() {
			for _, q := range qualities {
				out = append(out, usedEncoding{f.name, p, q, encodingOf(p, f.media, q)})
			}
		}
	}
	return out
}

// beside are images of one profile and format, each with that of Next.js for the same request.
type beside []struct{ next, image qualityImage }

func (r *qualityResult) beside(p transform.Profile, format string) beside {
	type request struct {
		photo          string
		width, quality int
	}
	next := map[request]qualityImage{}
	for _, i := range r.Images {
		if i.Format == format && i.Profile == transform.ProfileNext {
			next[request{i.Photo, i.Width, i.Quality}] = i
		}
	}
	var out beside
	for _, i := range r.Images {
		if n, ok := next[request{i.Photo, i.Width, i.Quality}]; ok && i.Format == format && i.Profile == p {
			out = append(out, struct{ next, image qualityImage }{n, i})
		}
	}
	return out
}

// with are the images that f wants.
func (b beside) with(f func(qualityImage) bool) beside {
	var out beside
	for _, x := range b {
		if f(x.next) {
			out = append(out, x)
		}
	}
	return out
}

func asked(quality int) func(qualityImage) bool {
	return func(i qualityImage) bool { return i.Quality == quality }
}

func wide(width int) func(qualityImage) bool {
	return func(i qualityImage) bool { return i.Width == width }
}

// scores are the mean scores of Next.js and of the profile.
func (b beside) scores() (next, mine float64) {
	for _, x := range b {
		next += x.next.Score / float64(len(b))
		mine += x.image.Score / float64(len(b))
	}
	return next, mine
}

// lost says how much the images' scores differ from those of Next.js at the worst, and the share of those that are more than a
// point below.
func (b beside) lost() (worst, share float64) {
	worst = math.Inf(1)
	for _, x := range b {
		d := x.image.Score - x.next.Score
		worst = min(worst, d)
		if d < -1 {
			share += 1 / float64(len(b))
		}
	}
	return worst, share
}

// norms are the means of Butteraugli's 3-norms; ok is false where it was not measured.
func (b beside) norms() (next, mine float64, ok bool) {
	var n float64
	for _, x := range b {
		if x.next.Norm > 0 && x.image.Norm > 0 {
			next, mine, n = next+x.next.Norm, mine+x.image.Norm, n+1
		}
	}
	return next / n, mine / n, n > 0
}

// bytes is the geometric mean of the ratios: an image of twice the bytes and one of half of them are as many.
func (b beside) bytes() float64 {
	var sum float64
	for _, x := range b {
		sum += math.Log(float64(x.image.Bytes) / float64(x.next.Bytes))
	}
	return math.Exp(sum / float64(len(b)))
}

// seconds are the processor seconds for all images, medians of the rounds.
func (b beside) seconds() (next, mine float64) {
	for _, x := range b {
		next += middle(x.next.CPU)
		mine += middle(x.image.CPU)
	}
	return next, mine
}

func (b beside) cpu() float64 {
	next, mine := b.seconds()
	return mine / next
}

func middle(v []float64) float64 { return median(v, func(x float64) float64 { return x }) }

// cpuOfRounds are the ratios of the processor seconds for all images in each round.
func (b beside) cpuOfRounds() []float64 {
	var next, mine []float64
	for _, x := range b {
		for round := range min(len(x.next.CPU), len(x.image.CPU)) {
			if round == len(next) {
				next, mine = append(next, 0), append(mine, 0)
			}
			next[round] += x.next.CPU[round]
			mine[round] += x.image.CPU[round]
		}
	}
	for round := range mine {
		mine[round] /= next[round]
	}
	return mine
}

// lowest is the worst that a profile's mean score differs from that of Next.js at any of the qualities.
func (r *qualityResult) lowest(b beside) float64 {
	low := math.Inf(1)
	for _, q := range r.Qualities {
		next, mine := b.with(asked(q)).scores()
		low = min(low, mine-next)
	}
	return low
}

func (r *qualityResult) claims() []claim {
	var out []claim
	for _, f := range qualityFormats {
		fast, small := r.beside(transform.ProfileFast, f.name), r.beside(transform.ProfileSmall, f.name)
		out = append(out,
			claim{"fast-cpu", f.name, fast.with(asked(r.Main)).cpuOfRounds()}, claim{"fast-score", f.name, []float64{r.lowest(fast)}},
			claim{"small-bytes", f.name, []float64{small.bytes()}}, claim{"small-score", f.name, []float64{r.lowest(small)}})
	}
	return out
}

// others are the profiles that are compared with that of Next.js.
func others() []transform.Profile {
	return slices.DeleteFunc(transform.Profiles(), func(p transform.Profile) bool { return p == transform.ProfileNext })
}

func (r *qualityResult) table(b *strings.Builder, _ int) {
	fmt.Fprintf(b, "\n%d photos; q=%d at w=%s; q=%s at w=%d", r.Photos, r.Main, listed(r.Widths), listed(r.Qualities), r.MainWidth)
	for _, w := range slices.Sorted(maps.Keys(r.Every)) {
		fmt.Fprintf(b, "; w=%d of one photo in %d", w, r.Every[w])
	}
	var tools []string
	for _, name := range slices.Sorted(maps.Keys(r.Tools)) {
		tools = append(tools, name+" "+r.Tools[name])
	}
	fmt.Fprintf(b, ". Scored with %s.\n\n", strings.Join(tools, ", "))
	fmt.Fprintf(b, "What is asked for with q=%d is made in every round, the others once. ", r.Main)
	b.WriteString("Each profile against `next`. SSIMULACRA2: 100 is the same, higher is better; means of all images. Butteraugli (3-norm): 0 is the same, lower is better")
	fmt.Fprintf(b, "; images at w=%d. Bytes are the geometric mean of the ratios, CPU is the ratio of all seconds.\n\n", r.Second)
	b.WriteString("| format | profile | q | SSIMULACRA2: `next` | profile | difference | worst image | images that lost more than 1 | Butteraugli: `next` | profile | bytes | CPU |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, f := range qualityFormats {
		for _, p := range others() {
			all := r.beside(p, f.name)
			for _, q := range r.Qualities {
				r.row(b, f.name, p, q, all.with(asked(q)))
			}
		}
	}
	r.cpuTable(b)
	b.WriteString("\nWhat the encoders were told:\n\n| format | profile | quality for q=" + listed(r.Qualities) + " | settings |\n|---|---|---|---|\n")
	for _, f := range qualityFormats {
		for _, p := range transform.Profiles() {
			var given []int
			var settings string
			for _, e := range r.Encodings {
				if e.Format == f.name && e.Profile == p {
					given = append(given, e.Encoding.Quality)
					settings = described(f.media, e.Encoding)
				}
			}
			fmt.Fprintf(b, "| %s | `%s` | %s | %s |\n", f.name, p, listed(given), settings)
		}
	}
}

// cpuTable has the processor time by width, with what of it is the encoder's.
func (r *qualityResult) cpuTable(b *strings.Builder) {
	fmt.Fprintf(b, "\nCPU, milliseconds of one image (q=%d). Decoding and resizing, measured with the cheapest JPEG encoding, are a part of each "+
		"and the same for all; the encoder's ratio is without them.\n\n| format | w | decoding, resizing | `next` |", r.Main)
	for _, p := range others() {
		fmt.Fprintf(b, " `%s` | ratio | encoder's ratio |", p)
	}
	b.WriteString("\n|---|---|---|---|" + strings.Repeat("---|---|---|", len(others())) + "\n")
	for _, f := range qualityFormats {
		for _, w := range r.Widths {
			_, pixels := r.beside(bare, qualityFormats[0].name).with(wide(w)).seconds()
			for i, p := range others() {
				x := r.beside(p, f.name).with(asked(r.Main)).with(wide(w))
				next, mine := x.seconds()
				each := 1000 / float64(len(x))
				if i == 0 {
					fmt.Fprintf(b, "| %s | %d | %.0f | %.0f |", f.name, w, pixels*each, next*each)
				}
				fmt.Fprintf(b, " %.0f | %.2f× | %.2f× |", mine*each, mine/next, (mine-pixels)/(next-pixels))
			}
			b.WriteString("\n")
		}
	}
}

func (r *qualityResult) row(b *strings.Builder, format string, p transform.Profile, q int, x beside) {
	next, mine := x.scores()
	worst, share := x.lost()
	fmt.Fprintf(b, "| %s | `%s` | %d | %.2f | %.2f | %+.2f | %+.2f | %.0f %% |", format, p, q, next, mine, mine-next, worst, 100*share)
	if next, mine, ok := x.norms(); ok {
		fmt.Fprintf(b, " %.3f | %.3f |", next, mine)
	} else {
		b.WriteString(" | |")
	}
	fmt.Fprintf(b, " %.3f× | %.2f× |\n", x.bytes(), x.cpu())
}

func listed(numbers []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(numbers), "[]"), " ", ", ")
}

// described is an encoding but its quality in words, with what its format knows.
func described(media string, e transform.Encoding) string {
	var out []string
	say := func(is bool, what string) {
		if is {
			out = append(out, what)
		}
	}
	switch media {
	case transform.JPEG:
		say(e.Progressive, "progressive")
		say(e.Trellis, "trellis")
		say(e.Overshoot, "overshoot deringing")
		say(e.OptimizeScans, "optimized scans")
		out = append(out, fmt.Sprintf("quantization table %d", e.QuantTable))
	case transform.WebP:
		out = append(out, fmt.Sprintf("effort %d", e.Effort))
		say(e.SharpYUV, "sharp YUV")
		say(e.SmartDeblock, "smart deblocking")
		say(e.Passes > 1, fmt.Sprintf("%d passes", e.Passes))
		say(e.Preset != "", "preset "+e.Preset)
	case transform.AVIF:
		out = append(out, fmt.Sprintf("effort %d", e.Effort))
		say(e.Tune != "", "tune "+e.Tune)
	}
	if media != transform.WebP {
		sampling := "4:4:4"
		if e.Subsample {
			sampling = "4:2:0"
		}
		out = append(out, sampling)
	}
	return strings.Join(out, ", ")
}

// plots are what an image costs in bytes and in processor time, which is what profiles trade, and the scores, which they
// are to keep.
func (r *qualityResult) plots() []plot {
	costs := plot{Name: "profiles", Title: fmt.Sprintf("What an image costs by profile, q=%d, w=%d", r.Main, r.MainWidth), Kind: "lines",
		X: "CPU, ms", Y: "KB", LogX: true}
	scores := plot{Name: "quality", Title: "What images look like by profile", Kind: "bars", Y: "SSIMULACRA2, mean"}
	bars := map[transform.Profile]*series{}
	for _, p := range transform.Profiles() {
		bars[p] = &series{Name: string(p)}
	}
	for _, f := range qualityFormats {
		line := series{Name: f.name}
		for _, p := range []transform.Profile{transform.ProfileFast, transform.ProfileNext, transform.ProfileSmall} {
			x := r.beside(p, f.name).with(asked(r.Main)).with(wide(r.MainWidth))
			var bytes float64
			for _, i := range x {
				bytes += float64(i.image.Bytes)
			}
			_, seconds := x.seconds()
			line.X = append(line.X, 1000*seconds/float64(len(x)))
			line.Y = append(line.Y, bytes/1000/float64(len(x)))
			line.Labels = append(line.Labels, string(p))
		}
		costs.Series = append(costs.Series, line)
		for _, q := range r.Qualities {
			scores.Categories = append(scores.Categories, fmt.Sprintf("%s q=%d", f.name, q))
			for _, p := range transform.Profiles() {
				_, mine := r.beside(p, f.name).with(asked(q)).scores()
				bars[p].add([]float64{mine})
			}
		}
	}
	for _, p := range transform.Profiles() {
		scores.Series = append(scores.Series, *bars[p])
	}
	return []plot{costs, scores}
}
