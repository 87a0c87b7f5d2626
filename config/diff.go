package config

import (
	"path/filepath"
	"reflect"
)

// Diff returns the keys whose values differ, in the order of the reference. Their values may be secret.
func Diff(a, b *Config) []string {
	var out []string
	for _, k := range keys().keys {
		if !reflect.DeepEqual(k.of(a).Interface(), k.of(b).Interface()) {
			out = append(out, k.path)
		}
	}
	return out
}

// Keep returns next with the values that old has for some keys. Names that are no keys are an error of the program. What
// is not a key (Next) is next's.
//
// Values that were fine together in both need not be so in the result: Combine says whether they are.
func Keep(old, next *Config, paths []string) *Config {
	out := *next
	for _, path := range paths {
		k, ok := keys().byPath[path]
		if !ok {
			panic("config: no such key: " + path)
		}
		k.of(&out).Set(k.of(old))
	}
	return &out
}

func (k *key) of(c *Config) reflect.Value { return reflect.ValueOf(c).Elem().FieldByIndex(k.index) }

// Combine reports values that do not go together, as Errors that cannot tell where a value is from. Load has done so for
// what it returns.
func (c *Config) Combine() error {
	if errs := combinations(c, &Provenance{}); len(errs) > 0 {
		return errs
	}
	return nil
}

// BuildFiles lists the files from which Load takes the settings of the Next.js build in dir, and beside them BuildID,
// which says which build it is. At most half of them are there: a build is either in dir or in its .next.
func BuildFiles(dir string) []string {
	var out []string
	for _, dist := range distDirs(dir) {
		for _, name := range []string{BuildID, serverFilesManifest, imagesManifest, routesManifest} {
			out = append(out, filepath.Join(dist, name))
		}
	}
	return out
}

// BuildID is the file with a build's name. Next.js removes it before it begins another build in the same directory, and
// writes it after required-server-files.json (next/dist/build/index.js, 16.4.6).
const BuildID = "BUILD_ID"

// distDirs are the directories in which the build is looked for.
func distDirs(dir string) []string { return []string{dir, filepath.Join(dir, ".next")} }
