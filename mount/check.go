package mount

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// MappingError reports an invalid mapping. The caller knows the position of the
// mapping in the configuration.
type MappingError struct {
	Target string
	Key    string // of the mapping; empty if the target itself is invalid
	Text   string
}

// Error names the target and the key.
func (e *MappingError) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("fsMapping.%s: %s", e.Target, e.Text)
	}
	return fmt.Sprintf("fsMapping.%s.%s: %s", e.Target, e.Key, e.Text)
}

// Check returns the first error in the mappings of a host, or nil. It does not
// connect to the hypervisor.
func Check(entries []Entry) *MappingError {
	targets, points := map[string]string{}, map[string]string{}
	for _, e := range entries {
		if err := CheckTarget(e.Target, e.Driver); err != nil {
			return &MappingError{e.Target, "", err.Error()}
		}
		folded := strings.ToLower(e.Target)
		if other, exists := targets[folded]; exists {
			return &MappingError{e.Target, "", fmt.Sprintf("the target %q is already in use: targets must differ in more than upper and lower case", other)}
		}
		targets[folded] = e.Target
		if err := e.check(); err != nil {
			return err
		}
		if e.MountAt == "" {
			continue
		}
		point := path.Clean(e.MountAt)
		if other, exists := points[point]; exists {
			return &MappingError{e.Target, "mountAt", fmt.Sprintf("the target %q is already mounted at %s", other, point)}
		}
		points[point] = e.Target
	}
	return nil
}

// check checks one mapping by itself.
func (e Entry) check() *MappingError {
	invalid := func(key, format string, args ...any) *MappingError {
		return &MappingError{e.Target, key, fmt.Sprintf(format, args...)}
	}
	switch mode := e.AccessMode.orDefault(); {
	case !strings.HasPrefix(e.HostPath, "/"):
		return invalid("hostPath", "%q is not an absolute path on the hypervisor's machine", e.HostPath)
	case e.MountAt != "" && !strings.HasPrefix(e.MountAt, "/"):
		return invalid("mountAt", "%q is not an absolute path in the guest", e.MountAt)
	case e.MountAt != "" && path.Clean(e.MountAt) == "/":
		return invalid("mountAt", "cannot mount at the guest's root: use a folder below it")
	case strings.ContainsRune(e.MountAt, 0):
		return invalid("mountAt", "the path contains a zero byte")
	case e.Driver == VirtioFS && mode != Passthrough:
		return invalid("accessMode", "virtiofs supports only the access mode %s, not %s: use driver = %s", Passthrough, mode, NineP)
	case e.Sync && !e.IsReadOnly():
		return invalid("sync", "sync copies the folder, and the copy is deleted with the clone, so that what the guest writes is lost: remove readOnly = false, or remove sync")
	}
	return nil
}

// CheckTarget returns an error if the target of a mapping with that driver is
// invalid.
func CheckTarget(target string, driver Driver) error {
	limit := driver.tagLimit()
	switch {
	case target == "":
		return errors.New("the target is empty: it is the mount tag in the guest")
	case len(target) > limit:
		hint := ""
		if driver != VirtioFS && len(target) <= VirtioFS.tagLimit() {
			hint = fmt.Sprintf(" (with driver = %s at most %d)", VirtioFS, VirtioFS.tagLimit())
		}
		return fmt.Errorf("the target has %d bytes: a %s mount tag has at most %d%s", len(target), driver.fileSystem(), limit, hint)
	case strings.ContainsFunc(target, isForbidden):
		return errors.New("the target must not contain commas, slashes, blanks or control characters: it is a mount tag, not a path")
	case target[0] == '-' || target[0] == '#':
		return fmt.Errorf("the target must not start with %q, which has a special meaning on a command line or in fstab", target[:1])
	}
	return nil
}

func isForbidden(r rune) bool { return r <= ' ' || r == 0x7f || r == ',' || r == '/' }
