// Package page reads an HTML document the way a browser does, for two things only: the images it would load and the
// documents it links to. It knows neither network nor image optimizers.
//
// An image is found where Next.js' components put one, and where its documentation tells people to put one: in img,
// source (of picture), link rel=preload as=image, the poster of a video, url() and image-set() of a style attribute or
// style element, and as srcset or src in the payload that React continues from (flight rows of the App Router,
// __NEXT_DATA__ of the Pages Router), where an image waits that is only shown after a click. Of a srcset all candidates
// count: which one a browser takes depends on its window and its screen.
package page
