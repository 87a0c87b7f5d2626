//go:build e2e

package e2e

// deploymentGroups test that the ids of deployments mean nothing, neither for the image nor for the cache, where the
// versions of an application have no origins of their own (deployment.origin), nor where they may have and do not exist.
func deploymentGroups() []group {
	return []group{
		{name: "deployment ids", variant: "svg", run: deploymentIDs}, // has a deploymentId
		{name: "deployment ids", variant: "svg by deployments", run: deploymentIDs},
		{name: "static media", variant: "svg by deployments", run: staticMedia("immutable/media")},
		{name: "deployment ids", variant: "default", run: deploymentIDs},
		{name: "deployment ids", variant: "patterns", run: deploymentIDs}, // allows queries
		{name: "deployment ids", variant: "basepath", run: deploymentIDs},
	}
}

func deploymentIDs(s *session) {
	const own = "e2e-deployment"
	fresh := s.gen("x.png", program{File: "small.png"})
	for _, src := range []string{s.base + "/assets/tile.png", fresh, s.base + "/nowhere.png", s.serve("x.png", always(Reply{Body: s.assets.small}))} {
		// The first is a MISS and all others are HITs, on both sides.
		for _, id := range []string{own, "another", "", "a.b", "../../etc", "%2e%2e%2f", "x%00", "x&dpl=y", "x%26w=1"} {
			target := s.image(src, 640, 75) + "&dpl=" + id
			s.get(src+" dpl="+id, target)
			s.get(src+" dpl="+id+" webp", target, "Accept: image/webp")
			s.get(src+" dpl="+id+" in cookies", s.image(src, 640, 75), "Cookie: __plt_dpl="+id+"; __vdpl="+id)
			s.get(src+" dpl="+id+" and in cookies", target, "Cookie: __plt_dpl=third; __vdpl=third", "X-Deployment-Id: third")
			s.get(src+" dpl="+id+" within", s.image(src+"?dpl="+id, 640, 75))
			s.get(src+" dpl="+id+" within and without", s.image(src+"?v=1&dpl="+id, 640, 75)+"&dpl="+own)
		}
	}
}
