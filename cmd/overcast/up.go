package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/host"
	"github.com/overcast-go/overcast/internal/standing"
	"github.com/spf13/cobra"
)

// defaultIdle is the default of --for.
const defaultIdle = 2 * time.Hour

func upCommand() *cobra.Command {
	idle, hold := defaultIdle, false
	command := &cobra.Command{
		Use:   "up LABEL... [--for DURATION]",
		Short: "set hosts up that stay until overcast down",
		Long: `up sets hosts up that stay until "overcast down", or until no test has used them for
the time of --for. A process in the background holds each of them: when it ends, its
host is removed.

Tests use such a host instead of booting one if OVERCAST_ATTACH=1 or attach = true,
and if the host has the same configuration and no other process uses it at that time.
They do not tear it down.`,
		Example: `  overcast up nat_host
  OVERCAST_ATTACH=1 go test ./...
  overcast down nat_host`,
		Args:              arguments(1, anyNumber, "a label"),
		ValidArgsFunction: completeLabels,
		RunE: func(cmd *cobra.Command, args []string) error {
			if idle < 0 {
				return usagef("--for is negative")
			}
			if hold {
				return holdHost(cmd.Context(), args[0], idle, cmd.OutOrStdout())
			}
			return startHolders(cmd, args, idle)
		},
	}
	command.Flags().DurationVar(&idle, "for", idle, "remove a host after this `DURATION` without use; 0 is never")
	command.Flags().BoolVar(&hold, "hold", false, "hold one host in this process")
	_ = command.Flags().MarkHidden("hold") // the flag exists
	return command
}

// startHolders starts a process for each host, and waits until all hosts are up.
func startHolders(cmd *cobra.Command, labels []string, idle time.Duration) error {
	prepare := preparer(cmd.Context())
	for _, label := range labels { // before anything boots
		if _, err := prepare(label); err != nil {
			return err
		}
	}
	errs := make([]error, len(labels))
	out := &lockedWriter{out: cmd.OutOrStdout()}
	var starting sync.WaitGroup
	for n, label := range labels {
		starting.Go(func() { errs[n] = startHolder(cmd.Context(), label, idle, out) })
	}
	starting.Wait()
	return errors.Join(errs...)
}

// lockedWriter is a writer for several goroutines.
type lockedWriter struct {
	mu  sync.Mutex
	out io.Writer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Write(p)
}

// heldMark is the last line of a holder whose host is up.
const heldMark = "held"

// startHolder starts the process that holds a host, and copies its output until the
// host is up.
func startHolder(ctx context.Context, label string, idle time.Duration, out io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	output, input, err := os.Pipe()
	if err != nil {
		return err
	}
	defer output.Close()
	holder := exec.Command(self, "up", "--hold", "--for", idle.String(), "--", label)
	holder.Stdout, holder.Stderr = input, input
	holder.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // it outlives the terminal
	err = holder.Start()
	_ = input.Close()
	if err != nil {
		return fmt.Errorf("starting the process that holds %s: %w", label, err)
	}
	defer context.AfterFunc(ctx, func() { _ = holder.Process.Signal(syscall.SIGTERM) })()
	text := readUntilHeld(output, out)
	if text == "" {
		fmt.Fprintf(out, "%s is up: log in with overcast ssh %[1]s, remove it with overcast down %[1]s\n", label)
		return holder.Process.Release()
	}
	_ = holder.Wait() // the output says how it failed
	if ctx.Err() != nil {
		return fmt.Errorf("setting up %s: %w", label, context.Cause(ctx))
	}
	return errors.New(text)
}

// readUntilHeld copies progress lines to out. It returns "" when the host is held,
// and otherwise the error that the holder has printed.
func readUntilHeld(output io.Reader, out io.Writer) string {
	var failed strings.Builder
	for line := range lines(output) {
		switch {
		case line == heldMark:
			return ""
		case strings.HasPrefix(line, progressMark):
			fmt.Fprintln(out, strings.TrimPrefix(line, progressMark))
		default:
			fmt.Fprintln(&failed, line)
		}
	}
	if failed.Len() == 0 {
		return "the process that holds the host has ended"
	}
	return strings.TrimSpace(failed.String())
}

// progressMark begins the lines that report a step.
const progressMark = "+ "

// ownHosts makes the set-ups of this process attach to no host of another process, and its
// teardowns keep none.
func ownHosts() error {
	return errors.Join(os.Setenv("OVERCAST_ATTACH", "0"), os.Setenv("OVERCAST_KEEP", "never"))
}

// holdHost sets a host up and holds it until the context ends, the host stops, or no
// process has used it for the idle time.
func holdHost(ctx context.Context, label string, idle time.Duration, out io.Writer) error {
	prepared, err := preparer(ctx)(label)
	if err != nil {
		return err
	}
	name, err := standing.Name(label, prepared.Section)
	if err != nil {
		return err
	}
	claimed, err := standing.Claim(name)
	if err != nil {
		return fmt.Errorf("setting up %s: %w", label, err)
	}
	defer claimed.Release()
	signal.Ignore(syscall.SIGPIPE) // nothing reads the output once the host is up
	if err := ownHosts(); err != nil {
		return err
	}
	progress := fixture.WithProgress(ctx, func(p fixture.Progress) { fmt.Fprintf(out, "%s%s\n", progressMark, p) })
	h, err := fixture.SetUp(progress, label)
	if err == nil {
		err = publish(claimed, h, idle)
	}
	if err == nil {
		fmt.Fprintln(out, heldMark) // from here on nothing reads the output
		awaitEnd(ctx, claimed, h, idle)
	}
	claimed.Unpublish()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), host.TeardownTimeout)
	defer cancel()
	return errors.Join(err, fixture.TearDown(end, label))
}

func publish(claimed *standing.Claimed, h *fixture.CloudHost, idle time.Duration) error {
	shared, err := host.Default.Share(h.Label())
	if err != nil {
		return err
	}
	return claimed.Publish(standing.Record{
		Label: h.Label(), PID: os.Getpid(), Since: time.Now(), Idle: idle,
		ID: host.Default.Get(h.Label()).ID(), Address: h.Address(), Shared: shared,
	})
}

// idleInterval is how often a holder looks whether its host is used and runs.
const idleInterval = 2 * time.Second

// consoleHistory is how many lines of the console a holder stores for overcast console.
const consoleHistory = 1000

func awaitEnd(ctx context.Context, claimed *standing.Claimed, h *fixture.CloudHost, idle time.Duration) {
	var written []string
	ticker := time.NewTicker(idleInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if lines := host.Default.Status(h.Label(), consoleHistory).Console; !slices.Equal(lines, written) {
			if err := claimed.WriteConsole(lines); err == nil { // otherwise it is tried again
				written = lines
			}
		}
		if unused := claimed.IdleTime(); h.Exited() != nil || (idle > 0 && unused >= idle) {
			return
		}
	}
}

func downCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "down [LABEL]...",
		Short: "remove the hosts that overcast up has set up",
		Long:  `down removes the hosts of the labels, or all hosts, that "overcast up" of this user has set up.`,
		Example: `  overcast down              # all of them
  overcast down nat_host`,
		ValidArgsFunction: completeStanding,
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := standing.List()
			if err != nil {
				return err
			}
			var errs []error
			for _, label := range args {
				if !slices.ContainsFunc(all, func(r standing.Record) bool { return r.Label == label }) {
					errs = append(errs, fmt.Errorf("removing %s: it is not up by overcast up: see overcast ls", label))
				}
			}
			for _, r := range all {
				if len(args) > 0 && !slices.Contains(args, r.Label) {
					continue
				}
				err := r.Stop(cmd.Context())
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "removed %s (%s)\n", r.Label, r.Address)
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		},
	}
}

// completeStanding completes the labels of hosts that overcast up has set up.
func completeStanding(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	all, err := standing.List()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var labels []string
	for _, r := range all {
		if !slices.Contains(args, r.Label) {
			labels = append(labels, r.Label)
		}
	}
	return labels, cobra.ShellCompDirectiveNoFileComp
}

// lines yields the lines of a reader.
func lines(r io.Reader) iter.Seq[string] {
	return func(yield func(string) bool) {
		scanner := bufio.NewScanner(r)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			if !yield(scanner.Text()) {
				return
			}
		}
	}
}
