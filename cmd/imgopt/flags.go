package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"imgopt/config"
)

// settings are the flags that make a configuration: --config and one flag for every key.
type settings struct {
	file  string
	given []config.Flag
}

// register adds the flags to a command.
func (s *settings) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.file, "config", "", "configuration file, YAML or JSON (IMGOPT_CONFIG)")
	for _, f := range config.Flags() {
		flag := cmd.Flags().VarPF(&value{settings: s, info: f}, f.Name, "", help(f))
		if f.Bool {
			flag.NoOptDefVal = "true"
		}
	}
}

func help(f config.FlagInfo) string {
	// Backquotes mark a flag's value for the help text; in the manual they mark code.
	text := strings.ReplaceAll(f.Help, "`", "'")
	if f.Default != "" {
		text += fmt.Sprintf(" Default %s.", f.Default)
	}
	return text
}

// load reads the configuration.
func (s *settings) load() (*config.Config, *config.Provenance, error) {
	return config.Load(config.Sources{File: s.file, Env: os.Environ(), Flags: s.given})
}

// value is one key as a flag. The configuration room reads the text; here it is only collected, in order.
type value struct {
	settings *settings
	info     config.FlagInfo
}

// Set collects one occurrence.
func (v *value) Set(text string) error {
	v.settings.given = append(v.settings.given, config.Flag{Name: v.info.Name, Value: text})
	return nil
}

// Type is the word for the value in the help text.
func (v *value) Type() string { return v.info.Type }

func (v *value) String() string { return "" }
