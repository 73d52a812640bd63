package itest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"libvirt.org/go/libvirtxml"

	"github.com/overcast-go/overcast/internal/filelock"
)

// virsh asks the lab's libvirt by another way than the code under test.
func virsh(args ...string) string {
	GinkgoHelper()
	out, err := exec.Command("virsh", append([]string{"-q", "-c", "qemu:///system"}, args...)...).CombinedOutput()
	if err != nil {
		Fail(fmt.Sprintf("virsh %s: %v: %s", strings.Join(args, " "), err, out))
	}
	return strings.TrimSpace(string(out))
}

// libvirtVersion returns the version of the lab's libvirtd, such as "9.0.0".
func libvirtVersion() string {
	GinkgoHelper()
	found := regexp.MustCompile(`Running against daemon: (\S+)`).FindStringSubmatch(virsh("version", "--daemon"))
	Expect(found).To(HaveLen(2))
	return found[1]
}

// libvirtMajor returns the first number of libvirtVersion.
func libvirtMajor() int {
	GinkgoHelper()
	text, _, _ := strings.Cut(libvirtVersion(), ".")
	major, err := strconv.Atoi(text)
	Expect(err).NotTo(HaveOccurred())
	return major
}

// imageDir is the folder of the lab's pool.
const imageDir = "/var/lib/libvirt/images"

// inventory is what a hypervisor has.
type inventory struct {
	Domains []string
	Volumes []string
	Images  map[string]string // SHA-256 of every file in the pool's folder
	Bases   map[string]string // definition of every base domain
}

// takeInventory lists what the hypervisor has now.
func takeInventory() inventory {
	GinkgoHelper()
	now := inventory{
		Domains: strings.Fields(virsh("list", "--all", "--name")),
		Volumes: strings.Fields(virsh("vol-list", "default")),
		Images:  map[string]string{},
		Bases:   map[string]string{},
	}
	files, err := os.ReadDir(imageDir)
	Expect(err).NotTo(HaveOccurred())
	for _, f := range files {
		now.Images[f.Name()] = contentOf(filepath.Join(imageDir, f.Name()))
	}
	for _, name := range now.Domains {
		now.Bases[name] = virsh("dumpxml", "--inactive", name)
	}
	return now
}

// contentOf is a file's SHA-256.
func contentOf(path string) string {
	GinkgoHelper()
	f, err := os.Open(path)
	Expect(err).NotTo(HaveOccurred())
	defer f.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	Expect(err).NotTo(HaveOccurred())
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// clones are the definitions of the running clones of a label.
func clones(label string) []libvirtxml.Domain {
	GinkgoHelper()
	var found []libvirtxml.Domain
	for _, name := range strings.Fields(virsh("list", "--all", "--name")) {
		if !strings.HasPrefix(name, "overcast-"+label+"-") {
			continue
		}
		out, err := exec.Command("virsh", "-q", "-c", "qemu:///system", "dumpxml", name).Output()
		if err != nil {
			continue // another process's, gone since it was listed
		}
		var domain libvirtxml.Domain
		Expect(domain.Unmarshal(string(out))).To(Succeed())
		found = append(found, domain)
	}
	return found
}

// ownClone returns the name of the clone of a host of this process.
func ownClone(label string) string {
	GinkgoHelper()
	var own []string
	for _, clone := range clones(label) {
		if strings.Contains(clone.Name, fmt.Sprintf("-%d-", os.Getpid())) {
			own = append(own, clone.Name)
		}
	}
	return only(own)
}

// pidOfQEMU returns the ID of the QEMU process of a clone.
func pidOfQEMU(clone string) string {
	GinkgoHelper()
	out, err := exec.Command("pgrep", "-f", "guest="+clone+",").Output()
	Expect(err).NotTo(HaveOccurred())
	return strings.TrimSpace(string(out))
}

// fileOfQEMU returns a path of a file that the QEMU of a clone has open. The file may be
// unlinked; its last path had the suffix.
func fileOfQEMU(clone, suffix string) string {
	GinkgoHelper()
	links, err := filepath.Glob("/proc/" + pidOfQEMU(clone) + "/fd/*")
	Expect(err).NotTo(HaveOccurred())
	for _, link := range links {
		if path, err := os.Readlink(link); err == nil && strings.HasSuffix(strings.TrimSuffix(path, " (deleted)"), suffix) {
			return link
		}
	}
	Fail("the QEMU of " + clone + " has no file open whose path ends in " + suffix)
	return ""
}

// leftovers are the domains, volumes and files whose names belong to a label.
func leftovers(label string) []string {
	GinkgoHelper()
	names := strings.Fields(virsh("list", "--all", "--name"))
	for _, line := range strings.Split(virsh("vol-list", "default"), "\n") {
		if volume := strings.Fields(line); len(volume) > 0 {
			names = append(names, volume[0])
		}
	}
	files, err := os.ReadDir(imageDir)
	Expect(err).NotTo(HaveOccurred())
	for _, f := range files {
		names = append(names, f.Name())
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool {
		return !strings.HasPrefix(name, "overcast-"+label+"-")
	})
}

// define makes a domain known for the length of a spec.
func define(xml string) {
	GinkgoHelper()
	path := filepath.Join(GinkgoT().TempDir(), "domain.xml")
	Expect(os.WriteFile(path, []byte(xml), 0o644)).To(Succeed())
	var domain libvirtxml.Domain
	Expect(domain.Unmarshal(xml)).To(Succeed())
	claim("domain " + domain.Name)
	virsh("define", path)
	// It may be gone already; what stays, the look at the end of the run finds.
	DeferCleanup(func() {
		_ = exec.Command("virsh", "-q", "-c", "qemu:///system", "undefine", "--nvram", domain.Name).Run()
	})
}

// claimed are the things that the spec that runs has claimed.
var claimed = map[string]bool{}

// claimLimit is how long a spec waits for a thing that another spec uses. Limits of specs that
// claim a thing are longer.
const claimLimit = 20 * time.Minute

// claim makes specs that use one thing, such as a name or an address, take turns, also in
// different processes. The spec that has waited longest is next.
func claim(thing string) {
	GinkgoHelper()
	if claimed[thing] {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), claimLimit)
	defer cancel()
	me := filelock.Holder{PID: os.Getpid(), Label: "a spec", Detail: CurrentSpecReport().LeafNodeText, Since: time.Now()}
	ticket, err := filelock.Acquire(ctx, "/run/lab/tmp", "claim "+thing, me, func(holder filelock.Holder) {
		GinkgoWriter.Printf("%s is used by %s\n", thing, holder)
	})
	Expect(err).NotTo(HaveOccurred(), "another spec uses %s", thing)
	claimed[thing] = true
	DeferCleanup(func() error { delete(claimed, thing); return ticket.Release() })
}

// pool creates a pool over a file system in memory of a size, for the length
// of a spec, and answers with its folder.
func pool(name, size string) string {
	GinkgoHelper()
	claim("pool " + name)
	dir := openDir()
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, name, dir).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
	DeferCleanup(func() { Expect(exec.Command("umount", dir).Run()).To(Succeed()) })
	virsh("pool-create-as", name, "dir", "--target", dir)
	DeferCleanup(func() { virsh("pool-destroy", name) })
	return dir
}

// fullPool creates a pool with a disk, data.img, and no room for another one.
func fullPool(name string) string {
	GinkgoHelper()
	dir := pool(name, "256k")
	Expect(os.WriteFile(filepath.Join(dir, "data.img"), make([]byte, 192<<10), 0o600)).To(Succeed())
	virsh("pool-refresh", name)
	return dir
}

// openDir creates a folder that the user that QEMU runs as can read, for the length of a
// spec.
func openDir() string {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	for folder := dir; folder != filepath.Clean(os.TempDir()); folder = filepath.Dir(folder) {
		Expect(os.Chmod(folder, 0o755)).To(Succeed())
	}
	return dir
}
