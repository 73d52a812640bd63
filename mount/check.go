package mount

import (
	"fmt"
	"path"
	"strings"
)

// Mistake is what is wrong with a mapping by itself. It is for whoever knows
// where the mapping was written.
type Mistake struct {
	Target string
	Key    string // of the mapping; "" for the target
	Text   string
}

// Error names the target and the key.
func (m *Mistake) Error() string {
	if m.Key == "" {
		return fmt.Sprintf("fsMapping.%s: %s", m.Target, m.Text)
	}
	return fmt.Sprintf("fsMapping.%s.%s: %s", m.Target, m.Key, m.Text)
}

// Check looks at mappings that belong together, and answers with the first
// mistake, or nil. It asks no hypervisor.
func Check(entries []Entry) *Mistake {
	targets, points := map[string]string{}, map[string]string{}
	for _, e := range entries {
		if err := CheckTarget(e.Target, e.Driver); err != nil {
			return &Mistake{e.Target, "", err.Error()}
		}
		folded := strings.ToLower(e.Target)
		if other, taken := targets[folded]; taken {
			return &Mistake{e.Target, "", fmt.Sprintf("there is a target %q already, and one that differs in the case of letters only is too easily mistaken for it", other)}
		}
		targets[folded] = e.Target
		if m := e.check(); m != nil {
			return m
		}
		if e.MountAt == "" {
			continue
		}
		point := path.Clean(e.MountAt)
		if other, taken := points[point]; taken {
			return &Mistake{e.Target, "mountAt", fmt.Sprintf("target %q is mounted at %s already", other, point)}
		}
		points[point] = e.Target
	}
	return nil
}

// check is about one mapping.
func (e Entry) check() *Mistake {
	wrong := func(key, format string, args ...any) *Mistake {
		return &Mistake{e.Target, key, fmt.Sprintf(format, args...)}
	}
	switch mode := e.AccessMode.orDefault(); {
	case !strings.HasPrefix(e.HostPath, "/"):
		return wrong("hostPath", "%q is not a whole path, from the root of the hypervisor's machine", e.HostPath)
	case e.MountAt != "" && !strings.HasPrefix(e.MountAt, "/"):
		return wrong("mountAt", "%q is not a whole path, from the root of the guest", e.MountAt)
	case e.MountAt != "" && path.Clean(e.MountAt) == "/":
		return wrong("mountAt", "the guest's root is taken: name a folder below it")
	case strings.ContainsRune(e.MountAt, 0):
		return wrong("mountAt", "it has a zero byte in it")
	case e.Driver == VirtioFS && mode != Passthrough:
		return wrong("accessMode", "virtiofs has no access mode but %s, and so not %s: use driver = %s for that", Passthrough, mode, NineP)
	case e.Sync && !e.IsReadOnly():
		return wrong("sync", "it makes a copy that is thrown away with the clone, and nothing that the guest writes would come back: leave out readOnly = false, or sync")
	}
	return nil
}

// CheckTarget says what is wrong with the target of a mapping that goes by
// that driver.
func CheckTarget(target string, driver Driver) error {
	longest := driver.longestTag()
	switch {
	case target == "":
		return fmt.Errorf("the target is empty: it is the tag by which the guest mounts the folder")
	case len(target) > longest:
		longer := ""
		if driver != VirtioFS && len(target) <= VirtioFS.longestTag() {
			longer = fmt.Sprintf(" (one of driver = %s may have %d)", VirtioFS, VirtioFS.longestTag())
		}
		return fmt.Errorf("the target has %d bytes: a %s mount tag has %d at the most%s", len(target), driver.kind(), longest, longer)
	case strings.ContainsFunc(target, forbidden):
		return fmt.Errorf("a target has no commas, slashes, blanks or control characters: it is a mount tag, not a path")
	case target[0] == '-' || target[0] == '#':
		return fmt.Errorf("a target does not begin with %q, which means something else on a command line or in an fstab", target[:1])
	}
	return nil
}

func forbidden(r rune) bool { return r <= ' ' || r == 0x7f || r == ',' || r == '/' }
