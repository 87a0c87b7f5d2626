// Package config turns everything that can be said about how imgopt should run into one typed Config.
//
// Values come from five layers, each winning over the ones before it: the defaults, a Next.js build (nextDir), a YAML
// file (JSON is a subset), IMGOPT_* environment variables, and command line flags. Every key can be set in each of the
// last three, under one name: transform.maxInputPixels in the file, IMGOPT_TRANSFORM_MAX_INPUT_PIXELS,
// --transform.maxInputPixels. A layer replaces a value as a whole; lists are not merged.
//
// The fields of Config and their comments are the only place where a key is declared: the flags, the variables, the
// limits, the help and the reference in the README are derived from them.
//
// Nothing is ignored silently. An unknown key, a wrong type, a value out of range and an impossible combination are
// errors of one line each: where it was said, the key, the value, and what is allowed. All of them are reported at once.
//
// Relative paths, wherever they were given, are relative to the working directory of the process.
//
// The layering is done here, over the nodes of go.yaml.in/yaml/v3, because a value has to keep where it came from (file
// and line, variable, flag or manifest) through the merge, for errors and for Print; general configuration libraries
// merge plain maps, where the line is lost. Load reads the sources it is given and changes nothing, so that a running
// service can call it again and compare.
package config
