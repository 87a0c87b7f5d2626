// Package adminclient asks the admin listener of a running imgopt: it is what the subcommands that look after a service
// are made of. The endpoints, and the types of their answers, are those of package handler.
//
// Every error is an *Unreachable, a *Refused, or the end of the caller's ctx inside an *Unreachable.
package adminclient
