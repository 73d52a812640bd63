package owner

import (
	"crypto/rand"
	"fmt"
	"regexp"
	"strconv"
)

// NamePrefix starts the name of every domain, volume and pool that this
// provider makes.
const NamePrefix = "overcast-"

// longestLabel is how much of a label a name takes, in bytes: names of files
// have their limit.
const longestLabel = 64

var unfitForNames = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// newName is a fresh name for a clone of an owner's. It is fit for the name of
// a file, and tells the label and the owner: a volume has nothing else to tell
// them by. What is made for a clone has the clone's name and a suffix.
func NewName(label string, by Process) string {
	random := make([]byte, 4)
	rand.Read(random) // never fails
	plain := unfitForNames.ReplaceAllString(label, "_")
	plain = plain[:min(len(plain), longestLabel)]
	return fmt.Sprintf("%s%s-%s%s-%d-%d-%x", NamePrefix, plain, by.Boot, by.Space, by.PID, by.Started, random)
}

var ownName = regexp.MustCompile(`^(` + NamePrefix + `(.+)-([0-9a-f]{8})([0-9a-f]{4})-(\d+)-(\d+)-[0-9a-f]{8})(-[a-z]+[a-z0-9]*\.qcow2|-tpmfrom|-tpmto|-look\d+|-fs\d+)?$`)

// madeName is what the name of something says that this provider has made.
type Name struct {
	Clone   string // name of the clone that it is, or was made for
	Label   string // as far as names take it
	Process Process
}

// parseName reads a name; ok is false for one that is not this provider's.
func ParseName(name string) (made Name, ok bool) {
	part := ownName.FindStringSubmatch(name)
	if part == nil {
		return Name{}, false
	}
	pid, errPID := strconv.Atoi(part[5])
	started, errStarted := strconv.ParseUint(part[6], 10, 64)
	if errPID != nil || errStarted != nil {
		return Name{}, false
	}
	return Name{Clone: part[1], Label: part[2], Process: Process{Boot: part[3], Space: part[4], PID: pid, Started: started}}, true
}
