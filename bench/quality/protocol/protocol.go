// Package protocol has what the quality measurement of bench and its programs say to each other: lines of JSON, a request
// and its answer. encode makes images and takes the time, score.mjs says what they look like.
package protocol

import "imgopt/transform"

// EncodeRequest asks encode for one photo in several encodings, each made Rounds times, in alternation.
type EncodeRequest struct {
	// Source is the photo's file.
	Source string
	// Width is what the photo is resized to, in pixels.
	Width int
	// Format is the media type of the results.
	Format    string
	Encodings []transform.Encoding
	Rounds    int
	// Prefix is what the names of the results' files begin with.
	Prefix string
}

// EncodeAnswer has an image for each encoding, in their order, or says what went wrong.
type EncodeAnswer struct {
	Images []Image
	Error  string
}

// Image is what an encoding made of a photo.
type Image struct {
	File   string
	Bytes  int64
	SHA256 string
	// CPU has the processor seconds of each round: decoding, resizing and encoding, on all threads.
	CPU []float64
}

// ScoreRequest asks score.mjs how much files look like the photo at that width, with Butteraugli as well where that is set.
type ScoreRequest struct {
	Source      string   `json:"source"`
	Width       int      `json:"width"`
	Files       []string `json:"files"`
	Butteraugli bool     `json:"butteraugli"`
}

// ScoreAnswer has the scores of the files, in their order, or says what went wrong. The first answer of score.mjs, to no
// request, has Tools: their versions by name.
type ScoreAnswer struct {
	Tools map[string]string `json:"tools"`
	// Scores are SSIMULACRA2's: 100 is identical, 90 cannot be told apart beside each other.
	Scores []float64 `json:"scores"`
	// Norms are Butteraugli's 3-norms: 0 is identical.
	Norms []float64 `json:"norms"`
	Error string    `json:"error"`
}
