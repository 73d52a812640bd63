package owner

import (
	"crypto/rand"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// NamePrefix is the prefix of the name of every domain, volume and pool that overcast
// creates.
const NamePrefix = "overcast-"

// maxLabelBytes limits the label within a name: file names are limited.
const maxLabelBytes = 64

var invalidInName = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// NewName returns a unique name for a clone. It is a valid file name and contains the
// label and the owner: a volume has no other place for them. Resources of a clone have
// the clone's name and a suffix.
func NewName(label string, by Process) string {
	random := make([]byte, 4)
	rand.Read(random) // never fails
	plain := invalidInName.ReplaceAllString(label, "_")
	plain = plain[:min(len(plain), maxLabelBytes)]
	return fmt.Sprintf("%s%s-%s-%d-%d-%x", NamePrefix, plain, by.Machine[:min(len(by.Machine), machineDigitsInName)], by.PID, by.Started, random)
}

var namePattern = regexp.MustCompile(`^(` + NamePrefix + `([A-Za-z0-9_.-]+)-([0-9a-f]{16})-(\d+)-(\d+)-[0-9a-f]{8})(-[a-z]+[a-z0-9]*\.(?:qcow2|raw|iso)|-fs\d+|-(?:tpmfrom|tpmto|look\d+)(?:-(\d+))?)?$`)

// Name is the parsed name of a resource that overcast created.
type Name struct {
	Clone   string // name of the clone that the resource is or belongs to
	Label   string // of the host; long labels are cut
	Process Process
	Created time.Time // of a temporary pool; zero for other resources
}

// ParseName parses a name. ok is false for a name that is not overcast's.
func ParseName(name string) (made Name, ok bool) {
	part := namePattern.FindStringSubmatch(name)
	if part == nil {
		return Name{}, false
	}
	pid, errPID := strconv.Atoi(part[4])
	started, errStarted := strconv.ParseUint(part[5], 10, 64)
	if errPID != nil || errStarted != nil {
		return Name{}, false
	}
	made = Name{Clone: part[1], Label: part[2], Process: Process{Machine: part[3], PID: pid, Started: started}}
	if seconds, err := strconv.ParseInt(part[7], 10, 64); err == nil {
		made.Created = time.Unix(seconds, 0)
	}
	return made, true
}
