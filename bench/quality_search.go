package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"imgopt/bench/quality/protocol"
	"imgopt/transform"
)

// searchQualities are those asked for to which a search finds the qualities of other encodings: what lies between is
// interpolated (see transform's profiles).
var searchQualities = []int{30, 50, 75, 90, 100}

// searcher finds the qualities at which encodings look as Next.js' does.
type searcher struct {
	media  string
	width  int
	rounds int
	photos []string
	dir    string

	encoders, scorers crew
	scores            map[transform.Encoding]float64 // means of all photos
}

// search reads encodings from a JSON file, a list of transform.Encoding without their qualities, and prints a row for each
// and for each quality asked for: the lowest quality of the encoding whose mean score is that of Next.js or more, and what
// its images then cost in bytes and processor time, as ratios.
func search(ctx context.Context, s settings) error {
	q := &searcher{width: s.searchWidth, rounds: s.qualityRounds, scores: map[transform.Encoding]float64{}}
	for _, f := range qualityFormats {
		if f.name == s.search {
			q.media = f.media
		}
	}
	if q.media == "" {
		return fmt.Errorf("-search %s: there are jpeg, webp and avif", s.search)
	}
	candidates, err := readEncodings(s.encodings)
	if err != nil {
		return err
	}
	if q.photos, err = photosIn(s.photos); err != nil {
		return err
	}
	if s.quick {
		q.photos = q.photos[:2]
	}
	if q.dir, err = tempDir(); err != nil {
		return err
	}
	defer removeDir(q.dir)
	if q.encoders, err = encoders(ctx, s); err != nil {
		return err
	}
	defer q.encoders.stop()
	if q.scorers, _, err = scorers(ctx, s, q.dir); err != nil {
		return err
	}
	defer q.scorers.stop()

	fmt.Printf("%s of %d photos at w=%d, beside the profile `next`\n\n| settings | asked for | quality | SSIMULACRA2: `next` | this | bytes | CPU |\n|---|---|---|---|---|---|---|\n",
		s.search, len(q.photos), q.width)
	for _, candidate := range candidates {
		low := 1
		for _, asked := range searchQualities {
			next := encodingOf(transform.ProfileNext, q.media, asked)
			wanted, err := q.score(ctx, next)
			if err != nil {
				return err
			}
			candidate.Quality, err = lowestQuality(low, wanted, func(quality int) (float64, error) {
				candidate.Quality = quality
				return q.score(ctx, candidate)
			})
			if err != nil {
				return err
			}
			low = candidate.Quality // what is asked for next is better, and so is what is found
			if err := q.row(ctx, candidate, next, asked); err != nil {
				return err
			}
		}
	}
	return nil
}

func readEncodings(file string) ([]transform.Encoding, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the encodings: %w", err)
	}
	var out []transform.Encoding
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&out); err != nil {
		return nil, fmt.Errorf("reading the encodings: %s: %w", file, err)
	}
	return out, nil
}

// lowestQuality is the lowest quality, from low on, whose score is the wanted one or more; 100 where none is. Scores are
// taken to rise with the quality.
func lowestQuality(low int, wanted float64, score func(quality int) (float64, error)) (int, error) {
	high := 100
	for low < high {
		at := (low + high) / 2
		got, err := score(at)
		if err != nil {
			return 0, err
		}
		if got >= wanted {
			high = at
		} else {
			low = at + 1
		}
	}
	return low, nil
}

// encode makes images of all photos.
func (q *searcher) encode(ctx context.Context, rounds int, encodings ...transform.Encoding) ([][]protocol.Image, error) {
	made := make([][]protocol.Image, len(q.photos))
	err := q.encoders.share(ctx, len(q.photos), func(t *talker, i int) (err error) {
		made[i], err = encode(t, protocol.EncodeRequest{Source: q.photos[i], Width: q.width, Format: q.media, Encodings: encodings,
			Rounds: rounds, Prefix: filepath.Join(q.dir, strconv.Itoa(i))})
		return err
	})
	return made, err
}

// score is the mean score of an encoding.
func (q *searcher) score(ctx context.Context, e transform.Encoding) (float64, error) {
	if known, ok := q.scores[e]; ok {
		return known, nil
	}
	made, err := q.encode(ctx, 1, e)
	if err != nil {
		return 0, err
	}
	scores := make([]float64, len(made))
	err = q.scorers.share(ctx, len(made), func(t *talker, i int) error {
		a, err := score(t, protocol.ScoreRequest{Source: q.photos[i], Width: q.width, Files: []string{made[i][0].File}})
		if err == nil {
			scores[i] = a.Scores[0]
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	var mean float64
	for _, s := range scores {
		mean += s / float64(len(scores))
	}
	q.scores[e] = mean
	return mean, nil
}

// row compares what was found with Next.js: the geometric mean of the ratios of bytes, and the ratio of all processor seconds.
func (q *searcher) row(ctx context.Context, candidate, next transform.Encoding, asked int) error {
	wanted, err := q.score(ctx, next)
	if err != nil {
		return err
	}
	got, err := q.score(ctx, candidate)
	if err != nil {
		return err
	}
	made, err := q.encode(ctx, q.rounds, next, candidate)
	if err != nil {
		return err
	}
	var logs, before, after float64
	for _, m := range made {
		logs += math.Log(float64(m[1].Bytes) / float64(m[0].Bytes))
		before, after = before+middle(m[0].CPU), after+middle(m[1].CPU)
	}
	fmt.Printf("| %s | %d | %d | %.2f | %.2f | %.3f× | %.2f× |\n", described(q.media, candidate), asked, candidate.Quality, wanted, got,
		math.Exp(logs/float64(len(made))), after/before)
	return nil
}
