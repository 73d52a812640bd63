package host

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/overcast-go/overcast/internal/recovered"
	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/overcast-go/overcast/internal/trace"
	"github.com/overcast-go/overcast/provider"
)

// StepBuildingLayer is the step of a set-up that builds a layer.
const StepBuildingLayer = "building layer:"

// useLayers has the instances of a batch use layers, all at the same time. Hosts with the
// same tag command or the same local files share the results.
func (r *recipes) useLayers(ctx context.Context, hosts []preparedEntry) error {
	byLabel := map[string]Prepared{}
	for _, h := range hosts {
		byLabel[h.label] = h.prepared
	}
	return recovered.ForEach(slices.Sorted(maps.Keys(byLabel)), func(label string) error {
		err := r.useLayer(ctx, byLabel[label])
		if err == nil {
			err = r.useWarm(ctx, byLabel[label])
		}
		if err != nil {
			return fmt.Errorf("setting up %s: %w", label, err)
		}
		return nil
	})
}

// useLayer has an instance use the layer of what provisioning does, if the settings ask
// for that.
func (r *recipes) useLayer(ctx context.Context, p Prepared) error {
	mode := p.Common().CachePolicy()
	if mode == provider.CacheOff {
		return nil
	}
	cacher, ok := p.Instance.(provider.LayerCacher)
	if !ok && p.Common().Provision.Cache == nil {
		return nil // the tag has no effect
	}
	if !ok {
		return p.Section.Invalid("provision", "cache needs a host that its provider can cache: remove it")
	}
	recipe, err := r.of(ctx, p.Common().Provision)
	if err == nil {
		cacher.UseLayer(recipe, mode == provider.CacheRefresh)
	}
	return err
}

// recipes computes the recipes of a batch, and runs each tag command and reads each local
// path once.
type recipes struct {
	mu      sync.Mutex
	results map[any]func() (string, error) // by tag or path
}

func newRecipes() *recipes { return &recipes{results: map[any]func() (string, error){}} }

// once returns the result of the first function for a key, and waits for it.
func (r *recipes) once(key any, do func() (string, error)) (string, error) {
	r.mu.Lock()
	result, ok := r.results[key]
	if !ok {
		result = sync.OnceValues(do)
		r.results[key] = result
	}
	r.mu.Unlock()
	return result()
}

// of is a digest of everything that determines the result of provisioning.
func (r *recipes) of(ctx context.Context, what provider.Provision) (string, error) {
	sum := sha256.New()
	fmt.Fprintf(sum, "url %q\ncmd %q\n", what.URL, what.Cmd)
	for _, pair := range copies(what.Copy) {
		files, err := r.files(pair.local)
		if err != nil {
			return "", fmt.Errorf("reading provision.copy: %w", err)
		}
		fmt.Fprintf(sum, "copy to %q\n%s\n", pair.remote, strings.Join(files, "\n"))
	}
	if what.ExpirationTag.Cmd != "" {
		tag, err := r.once(what.ExpirationTag, func() (string, error) { return readTag(ctx, what.ExpirationTag) })
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "tag %q\n", tag)
	}
	return fmt.Sprintf("%x", sum.Sum(nil)), nil
}

// files is describeFiles for a path, which is read once.
func (r *recipes) files(local string) ([]string, error) {
	text, err := r.once(local, func() (string, error) {
		files, err := describeFiles(local)
		return strings.Join(files, "\n"), err
	})
	return strings.Split(text, "\n"), err
}

// checkUnchanged fails if a local file of provision.copy is another one than when the
// recipe was computed: what was uploaded may be another content than the key names.
func (r *recipes) checkUnchanged(what provider.Provision) error {
	for _, pair := range copies(what.Copy) {
		before, err := r.files(pair.local)
		if err != nil {
			return err
		}
		now, err := describeFiles(pair.local)
		if err != nil {
			return fmt.Errorf("reading provision.copy again: %w", err)
		}
		if changed := firstChange(before, now); changed != "" {
			return fmt.Errorf("%s changed while the host was provisioned", filepath.Join(pair.local, changed))
		}
	}
	return nil
}

// describeFiles describes a file, or everything in a folder, by one line for each: the
// quoted path in the folder, the mode, and the digest of the content or the target of the link.
func describeFiles(root string) ([]string, error) {
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, err
	}
	var lines []string
	err = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		description, err := describeFile(path)
		lines = append(lines, fmt.Sprintf("%q %s", name, description))
		return err
	})
	return lines, err
}

func describeFile(path string) (string, error) {
	info, err := os.Lstat(path) // links within a folder are uploaded as links
	if err != nil {
		return "", err
	}
	content := ""
	switch {
	case info.Mode().IsRegular():
		content, err = digestFile(path)
	case info.Mode()&fs.ModeSymlink != 0:
		content, err = os.Readlink(path)
	}
	return fmt.Sprintf("%v %q", info.Mode(), content), err
}

func digestFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, file)
	return fmt.Sprintf("%x", sum.Sum(nil)), err
}

// firstChange returns the path in the first line of describeFiles that differs, or "".
func firstChange(before, now []string) string {
	for n := range max(len(before), len(now)) {
		switch {
		case n >= len(before):
			return described(now[n])
		case n >= len(now) || before[n] != now[n]:
			return described(before[n])
		}
	}
	return ""
}

// described returns the path that a line of describeFiles begins with.
func described(line string) string {
	quoted, _ := strconv.QuotedPrefix(line)
	name, _ := strconv.Unquote(quoted)
	return name
}

// readTag returns the trimmed output of the command, which runs in the current folder or
// on the machine of the URL.
func readTag(ctx context.Context, of provider.ExpirationTag) (string, error) {
	output, err := tagOutput(ctx, of)
	if err != nil {
		return "", fmt.Errorf("running provision.expirationTag.cmd: %w", err)
	}
	tag := strings.TrimSpace(output)
	if tag == "" {
		return "", errors.New("running provision.expirationTag.cmd: it printed nothing: have it print a tag that changes when hosts must be provisioned anew")
	}
	return tag, nil
}

// tagOutputDelay is how long the output of a tag command may stay open after its shell has
// ended: the other processes of a pipeline do not end with the shell.
const tagOutputDelay = time.Second

// localTagOutput runs a tag command on this machine. Its processes stay in the process group
// of the test, so that they can ask for a password on the terminal and are interrupted by it.
func localTagOutput(ctx context.Context, command string) (string, error) {
	var failed strings.Builder
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Stderr = &failed
	cmd.WaitDelay = tagOutputDelay
	output, err := cmd.Output()
	switch {
	case err == nil:
		return string(output), nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.Is(err, exec.ErrWaitDelay):
		err = errors.New("a process that it started still has its output open: have the command wait for that process, or redirect the output of the process")
	}
	return "", fmt.Errorf("%w: %s", err, lastLines(string(output)+failed.String()))
}

func tagOutput(ctx context.Context, of provider.ExpirationTag) (string, error) {
	if of.URL == "" {
		return localTagOutput(ctx, of.Cmd)
	}
	target, err := sshurl.ParseURL(of.URL)
	if err != nil {
		return "", err
	}
	client, err := sshclient.Dial(ctx, target, nil)
	if err != nil {
		return "", err
	}
	defer client.Close()
	result, err := client.Run(ctx, of.Cmd)
	if err != nil {
		return "", err
	}
	if result.ExitCode != 0 {
		return "", fmt.Errorf("it exited with %d: %s", result.ExitCode, lastLines(result.Stdout+result.Stderr))
	}
	return result.Stdout, nil
}

// isProvisioned reports whether the host is created from a layer.
func (h *Host) isProvisioned() bool {
	c, ok := h.instance.(provider.LayerCacher)
	return ok && c.IsProvisioned()
}

// buildLayer builds the layer of the host if it is missing. It fails if the host cannot
// be booted or provisioned. If the layer cannot be published, the set-up goes on without.
func (h *Host) buildLayer(ctx context.Context, recipes *recipes) error {
	cacher, ok := h.instance.(provider.LayerCacher)
	if !ok {
		return nil
	}
	builder, err := cacher.LayerBuilder(ctx)
	if err != nil || builder == nil {
		return err
	}
	return trace.Do(ctx, "build a layer", func() error { return h.buildLayerBy(ctx, builder, recipes) })
}

// buildLayerBy boots and provisions the builder of a layer, and makes its disks the layer.
func (h *Host) buildLayerBy(ctx context.Context, builder provider.LayerBuilder, recipes *recipes) error {
	done, booted := "", time.Now()
	progress := func(step string) {
		done = strings.TrimPrefix(done+", "+step, ", ")
		provider.Report(ctx, StepBuildingLayer, done)
	}
	building := provider.WithReporter(ctx, func(step, detail string) {
		switch step {
		case provider.StepReachable:
			booted = time.Now()
			progress("booted")
		case provider.StepProvisioned:
			progress("provisioned")
		case provider.StepCloned, provider.StepStarted, provider.StepAddress:
		default:
			provider.Report(ctx, step, detail)
		}
	})
	provider.Report(ctx, StepBuildingLayer, "booting")
	e := &entry{label: "layer", setup: &setup{progress: newProgress(ctx, "layer")}} // it is never registered
	b := newHost(builder)
	defer func() { h.builder = e.failedInstance }()
	if err := e.start(building, b); err != nil {
		return fmt.Errorf("building a layer: %w", err)
	}
	e.failedInstance = b // until it is removed
	err := recipes.checkUnchanged(h.settings.Provision)
	if err == nil {
		err = b.publish(ctx, builder, time.Since(booted), progress)
	}
	removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), TeardownTimeout)
	defer cancel()
	if stopErr := b.stop(removing); stopErr != nil {
		return fmt.Errorf("removing the builder of a layer: %w", errors.Join(err, stopErr))
	}
	e.failedInstance = nil
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		provider.Report(ctx, provider.StepNotCached, "publishing the layer: "+err.Error())
	}
	return nil
}

// stopBuilder tries again to remove the builder of a layer that could not be removed.
func (h *Host) stopBuilder(ctx context.Context) error {
	if h.builder == nil {
		return nil
	}
	if err := h.builder.stop(ctx); err != nil {
		return fmt.Errorf("removing the builder of a layer: %w", err)
	}
	h.builder = nil
	return nil
}

// publish removes what identifies the system of the host, and makes its disks a layer.
func (h *Host) publish(ctx context.Context, builder provider.LayerBuilder, provisioning time.Duration, progress func(string)) error {
	if err := h.runAsProvisioner(ctx, builder.CleanCommand()); err != nil {
		return fmt.Errorf("removing the identity of the system: %w", err)
	}
	h.unmountFolders(ctx)
	if err := h.disconnect(ctx); err != nil {
		return err
	}
	return builder.Publish(ctx, provisioning, progress)
}

// notOfLayer are errors that are not the fault of a layer.
var notOfLayer = []error{
	provider.ErrHypervisorNotReachable, provider.ErrNotEnoughMemory, provider.ErrHostPaused,
	provider.ErrStaticAddressInUse, provider.ErrAddressConflict, sshclient.ErrLoginRefused,
}

// blamesLayer reports whether the failure of a set-up from a layer may be the fault of the
// layer.
func (h *Host) blamesLayer(err error) bool {
	if slices.ContainsFunc(notOfLayer, func(other error) bool { return errors.Is(err, other) }) {
		return false
	}
	cacher, ok := h.instance.(provider.LayerCacher)
	return !ok || cacher.MayBlameLayer(err)
}

// startFromLayer starts the host, and without its layer if that fails.
func (s *setup) startFromLayer(ctx context.Context) error {
	s.entry.failedInstance = s.host
	if err := s.host.buildLayer(ctx, s.recipes); err != nil {
		if s.host.builder != nil {
			return err // it could not be removed just now: the teardown tries again
		}
		return errors.Join(err, s.entry.removeAfterFailure(ctx))
	}
	for {
		h := s.host
		if cacher, ok := h.instance.(provider.LayerCacher); ok {
			h.saved = cacher.ProvisioningTime()
		}
		err := s.entry.start(ctx, h)
		if err == nil || s.entry.failedInstance != nil {
			return err
		}
		step, discard := h.discardAfter(ctx, err)
		if discard == nil {
			return err
		}
		provider.Report(ctx, step, fmt.Sprintf("the set-up goes on without it: %v", err))
		if err := discard(ctx); err != nil {
			return fmt.Errorf("discarding a layer: %w", err)
		}
		s.entry.mu.Lock()
		s.host = newHost(h.instance)
		s.entry.mu.Unlock()
	}
}

// discardAfter returns the function that discards what a failed set-up has used of the cache,
// and the step that reports this. It returns nil if the cache is not to blame.
func (h *Host) discardAfter(ctx context.Context, err error) (step string, discard func(context.Context) error) {
	if ctx.Err() != nil {
		return "", nil
	}
	if errors.Is(err, provider.ErrNotRestored) || h.IsRestored() && h.blamesMemory(err) {
		return provider.StepDiscardedMemory, h.instance.(provider.WarmStarter).DiscardMemory
	}
	if !h.IsRestored() && h.isProvisioned() && h.blamesLayer(err) {
		return provider.StepDiscardedLayer, h.instance.(provider.LayerCacher).DiscardLayer
	}
	return "", nil
}
