// Package admission decides who may take memory and CPU now, and who waits: people before background work, first come
// first served, within limits that hold whatever the images are.
//
// There are two gates on the way of an image. A Budget counts the bytes of sources and results that jobs hold; a job
// takes from it while its source arrives. A Gate lets jobs into the codecs: it knows how many there are, and how much
// memory the images in them may take together, estimated from their headers before anything is decoded.
//
// A job that holds bytes of the Budget while it waits at the Gate cannot be waited for by one inside the Gate: what is
// inside needs nothing from the Budget until it has left. Inside the Budget, holders that all want more would wait for
// each other for ever; so one of them at a time may overdraw. The bytes in use are therefore at most the limit and one
// largest source.
//
// Background work may become somebody's (BackgroundUntil): at both gates it then goes to the end of the people's line.
package admission
