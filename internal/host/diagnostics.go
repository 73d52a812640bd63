package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/recovered"
	"github.com/overcast-go/overcast/internal/sshclient/hostkey"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/overcast-go/overcast/provider"
)

// Diagnostics is what is known about a host when a test that uses it has failed,
// before anything is torn down.
type Diagnostics struct {
	Status
	// Screenshot is the path of a PNG file, or "".
	Screenshot string `json:"screenshot,omitempty"`
	// ScreenshotErr is why there is no screenshot; "" for a host without a screen.
	ScreenshotErr string `json:"screenshotError,omitempty"`
}

// Limits of the console lines in diagnostics.
const (
	diagnosticsLines = 40
	diagnosticsWidth = 500 // bytes of a line
)

// screenshotTimeout limits the wait for a screenshot.
const screenshotTimeout = 5 * time.Second

// artifactsVariable is the environment variable with the folder for artifacts.
const artifactsVariable = "OVERCAST_ARTIFACTS"

// artifacts is the folder for screenshots: the value of OVERCAST_ARTIFACTS, else
// "artifacts" in the current folder.
func artifacts() string {
	if dir := os.Getenv(artifactsVariable); dir != "" {
		return dir
	}
	return "artifacts"
}

// Diagnostics collects the diagnostics of a host. A screenshot is saved to the
// folder of artifacts, under a name that begins with test. It takes a few seconds
// at most. Those of a host whose set-up has failed are from before its removal.
func (r *Registry) Diagnostics(ctx context.Context, label, test string) Diagnostics {
	e := r.find(label)
	if e == nil {
		return Diagnostics{Status: Status{Label: label}, ScreenshotErr: (&NotSetUpError{Label: label}).Error()}
	}
	e.mu.Lock()
	failure := e.failure
	e.mu.Unlock()
	if failure != nil && e.get() == nil {
		return *failure
	}
	return e.diagnose(ctx, test)
}

// recordFailure records the diagnostics of a host whose set-up has failed, if its
// caller wants them, and reports whether it does.
func (e *entry) recordFailure(ctx context.Context) bool {
	e.mu.Lock()
	wanted := e.setup.diagnose
	e.mu.Unlock()
	if !wanted {
		return false
	}
	d := e.diagnose(ctx, "set-up")
	d.Failed = true
	d.Login, d.Keep = "", "" // the host is about to be removed
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failure = &d
	return true
}

// diagnose collects the diagnostics of a host that is up or being set up.
func (e *entry) diagnose(ctx context.Context, test string) Diagnostics {
	d := Diagnostics{Status: e.status(diagnosticsLines)}
	for n, line := range d.Console {
		if len(line) > diagnosticsWidth {
			d.Console[n] = strings.ToValidUTF8(line[:diagnosticsWidth], "") + "..."
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, screenshotTimeout, fmt.Errorf("no screenshot within %v", screenshotTimeout))
	defer cancel()
	err := recovered.Do(func() error {
		h := e.getOrPending()
		if h == nil {
			return &NotSetUpError{Label: e.label}
		}
		png, err := h.Screenshot(ctx)
		if err == nil {
			d.Screenshot, err = saveArtifact(test+" "+e.label, ".png", png)
		}
		return err
	})
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		d.ScreenshotErr = err.Error()
	}
	return d
}

// Screenshot is the content of the host's screen as a PNG image. The error is an
// [errors.ErrUnsupported] if it has no screen.
func (h *Host) Screenshot(ctx context.Context) ([]byte, error) {
	if s, ok := h.instance.(provider.Screenshotter); ok {
		return s.Screenshot(ctx)
	}
	return nil, provider.ErrNoScreen
}

var unfitForFileNames = regexp.MustCompile(`[^A-Za-z0-9._]+`)

// longestName leaves room in the 255 bytes that file systems allow for a name.
const longestName = 150

// saveArtifact writes a new file to the folder of artifacts and returns its path.
func saveArtifact(name, suffix string, content []byte) (string, error) {
	dir := artifacts()
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	name = strings.Trim(unfitForFileNames.ReplaceAllString(name, "-"), "-.")
	if extra := len(name) - longestName; extra > 0 {
		name = name[extra:] // the end of a test's name is more specific
	}
	file, err := os.CreateTemp(dir, name+"-*"+suffix)
	if err != nil {
		return "", err
	}
	_, err = file.Write(content)
	if err := errors.Join(err, file.Chmod(0o644), file.Close()); err != nil {
		return "", err
	}
	return filepath.Clean(file.Name()), nil
}

// String is the text for a report, in several lines.
func (d Diagnostics) String() string {
	status := d.Status
	status.Console = nil // it is shown below
	lines := []string{status.String()}
	add := func(name, text string) { lines = append(lines, fmt.Sprintf("  %-12s%s", name+":", text)) }
	switch d.Keep {
	case "":
	case provider.KeepNever:
		add("kept", "no; OVERCAST_KEEP=on-failure keeps it")
	default:
		add("kept", d.Keep)
	}
	if d.Login != "" {
		add("log in", d.Login)
	}
	if d.Screenshot != "" {
		add("screenshot", d.Screenshot)
	} else if d.ScreenshotErr != "" {
		add("screenshot", "none: "+d.ScreenshotErr)
	}
	if len(d.Console) > 0 {
		lines = append(lines, "  last lines of the console:", "    | "+strings.Join(d.Console, "\n    | "))
	}
	return strings.Join(lines, "\n")
}

// loginCommand is the command that logs in to the host, or "" without a configured
// login.
func (h *Host) loginCommand() string {
	target, err := h.target()
	if err != nil {
		return ""
	}
	var via *sshurl.Target
	if h.route.Reach() == provider.ReachHypervisor {
		if gateway, err := h.route.Gateway(); err == nil {
			via = &gateway
		}
	}
	_, isNew := h.keys.(*hostkey.Pin)
	return sshurl.Command(target, via, isNew)
}
