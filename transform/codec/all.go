package codec

import (
	"context"
	"errors"
	"fmt"

	"imgopt/transform"
)

// EncodeAll implements transform.MultiEngine. All results are made in one process as long as none is lost. A time limit
// that had to be enforced ends that result only. A crash is blamed neither on the result it happened at nor on the
// source, because results that share what they have in common take more memory than one alone: what is left is then
// made one by one, as Encode does it.
func (p *Pool) EncodeAll(ctx context.Context, src []byte, specs []transform.Spec, done func(i int, encoded []byte, err error)) {
	a := all{pool: p, ctx: ctx, src: src, specs: specs, done: done, left: transform.Order(specs), past: make([]attempts, len(specs))}
	for len(a.left) > 0 && a.err() == nil {
		if errors.Is(a.try(), errCrashed) {
			a.alone()
			return
		}
	}
	err := a.err()
	for _, i := range a.left {
		done(i, nil, err)
	}
}

// all is one call of EncodeAll.
type all struct {
	pool  *Pool
	ctx   context.Context
	src   []byte
	specs []transform.Spec
	done  func(i int, encoded []byte, err error)
	left  []int      // of specs
	past  []attempts // of each of specs
}

// err is why nothing that is left will be made.
func (a *all) err() error {
	switch {
	case len(a.src) == 0:
		return &transform.CodecError{Message: "empty source"}
	case a.ctx.Err() != nil:
		return fmt.Errorf("encoding: %w", context.Cause(a.ctx))
	}
	return a.pool.poisoned(a.src)
}

// alone makes what is left one by one.
func (a *all) alone() {
	for _, i := range a.left {
		out, err := a.pool.Encode(a.ctx, a.src, a.specs[i])
		a.done(i, out, err)
	}
}

// try has what is left made by one process, maxOutputs at most. The error is errCrashed if the process crashed.
func (a *all) try() error {
	p := a.pool
	batch := a.left[:min(len(a.left), maxOutputs)]
	rest := a.left[len(batch):]
	a.left = nil
	proc, begun, err := p.begin(a.ctx)
	if err != nil {
		for _, i := range batch {
			a.settle(i, nil, err)
		}
		a.left = append(a.left, rest...)
		return nil
	}
	defer p.tries.Done()
	specs := make([]transform.Spec, len(batch))
	for k, i := range batch {
		specs[k] = a.specs[i]
	}
	k := 0
	rep, err := proc.runAll(a.ctx, a.src, specs, p.settings.Options.Timeout, &p.oom, func(out []byte, rep reply, err error) {
		p.finished(&begun, specs[k], rep, err)
		a.settle(batch[k], out, err)
		k++
	})
	if err != nil {
		p.finished(&begun, specs[k], rep, err)
		if !errors.Is(err, errCrashed) {
			a.settle(batch[k], nil, err)
			k++
		}
	}
	p.end(proc)
	a.left = append(append(a.left, batch[k:]...), rest...)
	return err
}

// settle passes a result on, unless it is to be made again.
func (a *all) settle(i int, out []byte, err error) {
	again, final := a.past[i].judge(err)
	if again {
		a.left = append(a.left, i)
		return
	}
	var codec *transform.CodecError
	if errors.As(final, &codec) && codec.Crashed { // it ended its process too often
		a.pool.poison.add(a.src)
	}
	a.done(i, out, final)
}
