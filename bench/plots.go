package main

// plot is a picture that bench/plot draws of a part's figures.
type plot struct {
	Name, Title string
	// Kind is bars (a group of bars for each category, a bar for each series) or lines.
	Kind       string
	X, Y       string
	LogX, LogY bool     `json:",omitempty"`
	Categories []string `json:",omitempty"`
	Series     []series
	// Limit is a line across, with what it says.
	Limit     float64 `json:",omitempty"`
	LimitName string  `json:",omitempty"`
}

// series has values of Y for every category, or for every value of X. Low and High are the range of each.
type series struct {
	Name string
	// Labels, if there are some, stand beside the points of a line.
	Labels    []string  `json:",omitempty"`
	X         []float64 `json:",omitempty"`
	Y         []float64
	Low, High []float64 `json:",omitempty"`
}

// add appends the median and the range of some values.
func (s *series) add(v []float64) {
	m := median(v, func(x float64) float64 { return x })
	low, high := m, m
	for _, x := range v {
		low, high = min(low, x), max(high, x)
	}
	s.Y, s.Low, s.High = append(s.Y, m), append(s.Low, low), append(s.High, high)
}
