package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/internal/cloudinit"
	"github.com/overcast-go/overcast/internal/recovered"
	"github.com/overcast-go/overcast/internal/sshclient/credentials"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/overcast-go/overcast/internal/trace"
	"github.com/overcast-go/overcast/provider"
)

// Preparer prepares the instance of a label. It creates nothing.
type Preparer func(label string) (Prepared, error)

// Prepared is an instance with the provider that it comes from.
type Prepared struct {
	provider.Instance
	Provider     provider.Provider
	ProviderName string
	Section      *hocon.Value // of the configuration
}

// Prepare prepares the instance of a host from its section.
func Prepare(label string, section *hocon.Value) (Prepared, error) {
	name, p, err := provider.Of(section)
	if err != nil {
		return Prepared{}, err
	}
	instance, err := provider.New(label, section)
	return Prepared{instance, p, name, section}, err
}

// Check checks everything that the set-up of a host depends on, without setting it
// up. The error is that of an invalid section.
func Check(ctx context.Context, label string, section *hocon.Value) ([]provider.Result, error) {
	prepared, err := Prepare(label, section)
	if err != nil {
		return nil, err
	}
	results := []provider.Result{checkLogin(ctx, prepared)}
	if len(prepared.Common().Provision.Copy) > 0 {
		results = append(results, provider.Result{Name: "provision.copy", Detail: "the local files exist", Err: checkLocalFiles(prepared)})
	}
	if p, ok := prepared.Instance.(provider.Persistent); ok && p.IsPersistent() && results[0].Err == nil && prepared.Common().ConnectionURL() != "" {
		results = append(results, tryLogin(ctx, prepared))
	}
	if checker, ok := prepared.Provider.(provider.Checker); ok {
		results = append(results, checker.Check(ctx, label, section)...)
	}
	return results, nil
}

// checkLogin checks what can be checked of a login before the host exists.
func checkLogin(ctx context.Context, p Prepared) provider.Result {
	result := provider.Result{Name: "login", Detail: "none configured", Err: checkKeyFiles(ctx, p)}
	if url := p.Common().ConnectionURL(); url != "" && result.Err == nil {
		result.Detail, result.Err = checkKeyFile(ctx, url)
	}
	return result
}

// tryLogin logs in to an existing machine, once.
func tryLogin(ctx context.Context, p Prepared) provider.Result {
	result := provider.Result{Name: "reach"}
	h := newHost(p.Instance)
	target, err := h.target()
	if err == nil {
		err = h.loginAttempts(target)(ctx)
	}
	err = errors.Join(err, h.stop(context.WithoutCancel(ctx)))
	if err != nil {
		result.Err = fmt.Errorf("logging in as %s: %w: check hostname and that the machine runs", target, err)
		return result
	}
	result.Detail = "logged in as " + target.String()
	return result
}

// checkKeyFiles checks the key files that the connection URLs of a host name, so that a
// missing or unusable one is an error before anything boots. The error has the position
// of the URL.
func checkKeyFiles(ctx context.Context, p Prepared) error {
	settings := p.Common()
	for _, login := range []struct{ key, url string }{{"connection.url", settings.Connection.URL}, {"provision.url", settings.Provision.URL}} {
		if login.url == "" {
			continue
		}
		if _, err := checkKeyFile(ctx, login.url); err != nil {
			invalid := p.Section.Invalid(login.key, "%v", err)
			invalid.Err = err
			return invalid
		}
	}
	return nil
}

// checkKeyFile checks the key file that a connection URL names, if it names one, and
// returns how the URL logs in.
func checkKeyFile(ctx context.Context, url string) (login string, err error) {
	target, err := sshurl.ParseURL(sshurl.ExpandHost(url, "address"))
	if err != nil {
		return "", err
	}
	err = credentials.CheckKeyFile(ctx, target)
	if errors.Is(err, credentials.ErrKeyFileMissing) && isGeneratedKey(target.PrivateKeyFile) {
		return target.User + ", with a key that the first set-up generates", nil
	}
	return target.User, err
}

// isGeneratedKey reports whether a path is that of the key that set-ups generate for
// cloud-init.
func isGeneratedKey(path string) bool {
	dir, err := cloudinit.DefaultKeyDir()
	return err == nil && path == cloudinit.LoginKeyPath(dir)
}

// TeardownTimeout limits the teardown of a host. After a failed set-up, its
// context may have ended.
const TeardownTimeout = time.Minute

// SetupOptions change a set-up. The zero value is the default.
type SetupOptions struct {
	// ForUses makes the host one that the last [Registry.Release] tears down.
	ForUses bool
	// Diagnose collects the diagnostics of a host whose set-up fails, before it is
	// removed, for [Registry.Diagnostics].
	Diagnose bool
	// Queued is called once the resources of all hosts are reserved or queued
	// for, or once the set-up is over.
	Queued func()
}

// SetUp sets hosts up, all at the same time. Hosts that are up are left alone.
// Their resources are reserved for all of them or for none. If it fails, nothing
// is left of the hosts that it could not set up, or the error says what could not
// be removed, and TearDown tries again.
func (r *Registry) SetUp(ctx context.Context, labels []string, prepare Preparer, options SetupOptions) error {
	queued := sync.OnceFunc(func() {
		if options.Queued != nil {
			options.Queued()
		}
	})
	defer queued()
	entries, err := r.acquireAll(ctx, labels)
	if err != nil {
		return err
	}
	defer releaseAll(entries)
	return setUp(ctx, entries, prepare, options, queued)
}

// StartSetUp calls SetUp in a goroutine and sends its error. A panic is an error.
func (r *Registry) StartSetUp(ctx context.Context, labels []string, prepare Preparer, options SetupOptions) <-chan error {
	result := make(chan error, 1)
	go func() {
		result <- recovered.Do(func() error { return r.SetUp(ctx, labels, prepare, options) })
	}()
	return result
}

// setUp sets up the hosts of entries that the caller has acquired.
func setUp(ctx context.Context, entries []*entry, prepare Preparer, options SetupOptions, queued func()) error {
	file, err := trace.Open()
	if err != nil {
		return fmt.Errorf("setting up %s: %w", labelsOf(entries), err)
	}
	defer closeTrace(file)
	b, err := newBatch(ctx, entries, prepare, options)
	if err != nil {
		return err
	}
	b.traceTo(file)
	defer b.end()
	if err := b.reserve(queued); err != nil {
		return err
	}
	queued()
	return b.start()
}

// batch is the hosts that one call sets up.
type batch struct {
	ctx    context.Context
	setups []*setup
}

// setup is the set-up of one host.
type setup struct {
	*progress
	entry    *entry
	host     *Host
	prepared Prepared
	recipes  *recipes    // of the batch
	diagnose bool        // if the set-up fails
	whole    *trace.Span // the set-up in the trace
}

// preparedEntry is an entry whose host is to be set up.
type preparedEntry struct {
	*entry
	prepared Prepared
}

// newBatch prepares the hosts that are not up. It fails if any of them cannot be
// prepared.
func newBatch(ctx context.Context, entries []*entry, prepare Preparer, options SetupOptions) (*batch, error) {
	b := &batch{ctx: ctx}
	var missing []preparedEntry
	var errs []error
	for _, e := range entries {
		if e.get() != nil {
			continue
		}
		err := e.removeFailedInstance(ctx)
		var prepared Prepared
		if err == nil {
			prepared, err = prepare(e.label)
		}
		if err == nil {
			err = cmp.Or(checkLocalFiles(prepared), checkKeyFiles(ctx, prepared))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("setting up %s: %w", e.label, err))
			continue
		}
		attached, err := e.attachStanding(ctx, prepared)
		if err != nil {
			errs = append(errs, fmt.Errorf("attaching to %s: %w", e.label, err))
		}
		if err == nil && !attached {
			missing = append(missing, preparedEntry{e, prepared})
		}
	}
	recipes := newRecipes()
	errs = append(errs, recipes.useLayers(ctx, missing))
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, m := range missing {
		s := m.begin(ctx, m.prepared, prepare, options)
		s.recipes = recipes
		b.setups = append(b.setups, s)
	}
	return b, nil
}

// begin records that the set-up of a host is in progress.
func (e *entry) begin(ctx context.Context, prepared Prepared, prepare Preparer, options SetupOptions) *setup {
	s := &setup{progress: newProgress(ctx, e.label), entry: e, host: newHost(prepared.Instance), prepared: prepared, diagnose: options.Diagnose}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.setup, e.settingUp, e.ownedByUses, e.failed, e.prepare = s, true, options.ForUses, false, prepare
	e.failure = nil
	return s
}

// end records that no set-up is in progress any more.
func (b *batch) end() {
	for _, s := range b.setups {
		s.whole.End(nil) // unless it has failed
		s.entry.mu.Lock()
		s.entry.settingUp = false
		s.entry.mu.Unlock()
	}
}

// reserve has each provider reserve what its hosts need. The order of providers is
// that of their names, so that two processes cannot deadlock.
func (b *batch) reserve(queued func()) error {
	byName := map[string][]*setup{}
	for _, s := range b.setups {
		byName[s.prepared.ProviderName] = append(byName[s.prepared.ProviderName], s)
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		setups := byName[name]
		reserver, ok := setups[0].prepared.Provider.(provider.Reserver)
		if !ok {
			continue
		}
		var instances []provider.Instance
		for _, s := range setups {
			instances = append(instances, s.prepared.Instance)
		}
		spans := beginAll(setups, "reserve")
		err := recovered.Do(func() error { return reserver.Reserve(reporting(b.ctx, setups), instances, queued) })
		spans.end(err)
		if err != nil {
			return b.abandon(err)
		}
	}
	return nil
}

// reporting returns a context that reports a step of several hosts once, and
// records it for each of them.
func reporting(ctx context.Context, setups []*setup) context.Context {
	labels := (&batch{setups: setups}).labels()
	ctx = trace.With(ctx, setups[0].track)
	return provider.WithReporter(ctx, func(step, detail string) {
		for _, s := range setups[1:] {
			s.record(step, detail)
		}
		setups[0].tell(setups[0].record(step, detail), labels)
	})
}

// abandon releases what a batch has reserved.
func (b *batch) abandon(cause error) error {
	errs := []error{fmt.Errorf("setting up %s: %w", b.labels(), cause)}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), TeardownTimeout)
	defer cancel()
	for _, s := range b.setups {
		s.entry.failedInstance = s.host
		errs = append(errs, s.entry.removeFailedInstance(trace.With(ctx, s.track)))
		s.whole.End(cause)
	}
	return errors.Join(errs...)
}

func (b *batch) labels() string {
	var entries []*entry
	for _, s := range b.setups {
		entries = append(entries, s.entry)
	}
	return labelsOf(entries)
}

func labelsOf(entries []*entry) string {
	var labels []string
	for _, e := range entries {
		labels = append(labels, e.label)
	}
	return strings.Join(labels, ", ")
}

// start starts all hosts of the batch at the same time.
func (b *batch) start() error {
	byLabel := map[string]*setup{}
	for _, s := range b.setups {
		byLabel[s.label] = s
	}
	return recovered.ForEach(slices.Sorted(maps.Keys(byLabel)), func(label string) error {
		s := byLabel[label]
		defer s.remind(reminderInterval, s.host.lastSeen)()
		err := s.startFromLayer(provider.WithReporter(trace.With(b.ctx, s.track), s.report))
		s.whole.End(err)
		if err != nil {
			return fmt.Errorf("setting up %s: %w", label, err)
		}
		s.entry.set(s.host)
		return nil
	})
}

// removeFailedInstance tries again to undo a set-up that failed.
func (e *entry) removeFailedInstance(ctx context.Context) error {
	if e.failedInstance == nil {
		return nil
	}
	if err := e.failedInstance.stop(ctx); err != nil {
		return fmt.Errorf("removing what a failed set-up left: %w", err)
	}
	e.failedInstance = nil
	return nil
}

// removeAfterFailure is removeFailedInstance under a context of its own.
func (e *entry) removeAfterFailure(ctx context.Context) error {
	removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), TeardownTimeout)
	defer cancel()
	return e.removeFailedInstance(removing)
}

// start starts a host. If that fails or its provider panics, start removes the host
// again, under a context of its own because ctx may have ended. A host that cannot be
// removed is recorded as failedInstance.
func (e *entry) start(ctx context.Context, h *Host) (err error) {
	e.failedInstance = h
	defer func() {
		if e.failedInstance != nil {
			err = errors.Join(err, e.removeAfterFailure(ctx))
		}
	}()
	if err := h.start(ctx); err != nil {
		if ctx.Err() != nil {
			return err // the set-up was cancelled: there is nothing to inspect
		}
		if _, discard := h.discardAfter(ctx, err); discard != nil {
			return err // the set-up tries again without the cache
		}
		if !e.recordFailure(ctx) {
			err = h.withConsole(err)
		}
		kept, keepErr := h.keep(ctx, true)
		if kept == "" {
			return errors.Join(err, keepErr)
		}
		e.failedInstance = nil
		return errors.Join(fmt.Errorf("%w\n%s", err, kept), keepErr)
	}
	e.failedInstance = nil
	return nil
}

// start creates the host, waits until a login succeeds, and provisions it.
func (h *Host) start(ctx context.Context) error {
	began := time.Now()
	if err := h.instance.SetUp(ctx); err != nil {
		return err
	}
	if err := h.pinHostKey(); err != nil {
		return err
	}
	provider.Report(ctx, provider.StepAddress, h.instance.Address())
	if err := h.makeReadyWatched(ctx); err != nil {
		return err
	}
	return h.saveMemory(ctx, began)
}

// makeReadyWatched is makeReady that ends when the host stops.
func (h *Host) makeReadyWatched(ctx context.Context) error {
	ctx, unwatch := provider.WatchSetUp(ctx, h.instance)
	defer unwatch()
	err := h.makeReady(ctx)
	if err == nil {
		return nil
	}
	if outage := provider.OutageCause(ctx); errors.Is(outage, provider.ErrHypervisorNotReachable) {
		err = outage // the step that it interrupted explains nothing
	}
	return err
}

// makeReady makes a host that has an address ready for use.
func (h *Host) makeReady(ctx context.Context) error {
	restored := h.IsRestored()
	if !restored {
		if err := pause(ctx, h.settings.BootDelay, "bootDelay"); err != nil {
			return err
		}
	}
	if h.settings.ConnectionURL() != "" {
		if err := h.awaitLogin(ctx); err != nil {
			return err
		}
		if err := h.verifyAddress(ctx); err != nil {
			return err
		}
		provider.Report(ctx, provider.StepReachable, h.instance.Address())
		if restored {
			if err := h.wake(ctx); err != nil {
				return err
			}
		} else if err := h.awaitReady(ctx); err != nil {
			return err
		}
	}
	h.route.Resolve(ctx)
	if err := h.mountFolders(ctx); err != nil {
		return err
	}
	if restored {
		return h.awaitConditions(ctx)
	}
	if !h.isProvisioned() {
		if err := h.provision(ctx); err != nil {
			return err
		}
	}
	if err := pause(ctx, h.settings.Provision.BootDelay, "provision.bootDelay"); err != nil {
		return err
	}
	return h.awaitConditions(ctx)
}

// pause waits for the duration of a key.
func pause(ctx context.Context, delay time.Duration, key string) error {
	if delay <= 0 {
		return nil
	}
	return trace.Do(ctx, key, func() error {
		select {
		case <-time.After(delay):
			return nil
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s of %v: %w", key, delay, context.Cause(ctx))
		}
	})
}
