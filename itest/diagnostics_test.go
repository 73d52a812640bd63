package itest

import (
	"bytes"
	"encoding/json"
	"errors"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/host"
	"github.com/overcast-go/overcast/provider"
)

var _ = Describe("progress and diagnostics", func() {
	It("report each step of set-up and how to log in", func(ctx SpecContext) {
		configure(`seen = ${guest}`)
		var mu sync.Mutex
		var told []fixture.Progress
		_ = up(fixture.WithProgress(ctx, func(step fixture.Progress) {
			mu.Lock()
			defer mu.Unlock()
			if !strings.HasPrefix(step.Step, provider.StepWaiting) { // for a guest that boots slowly, or for memory
				told = append(told, step)
			}
		}), "seen")
		seen := fixture.Host("seen")
		var names []string
		for _, step := range told {
			names = append(names, step.Step)
			GinkgoWriter.Println(step)
		}
		Expect(names).To(Equal([]string{provider.StepCloned, provider.StepStarted, provider.StepAddress, provider.StepReachable}))
		Expect(told[0].Detail).To(Equal(clones("seen")[0].Name))
		Expect(told[2].Detail).To(Equal(seen.HostName()))

		status := host.Default.Status("seen", 5)
		Expect(status.String()).To(HavePrefix("seen: up, running at " + seen.HostName()))
		Expect(status.Login).To(Equal("ssh -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -i " + os.Getenv("LAB_SSH_KEY") + " root@" + seen.HostName()))
		login := strings.Replace(status.Login, "ssh ", "ssh -o BatchMode=yes ", 1) // never asks
		out, err := exec.Command("sh", "-c", login+" 'cat /etc/hostname; echo from inside > /dev/console'").Output()
		Expect(err).NotTo(HaveOccurred())
		Expect(string(out)).To(Equal("guest\n"))
		Eventually(func() []string { return host.Default.Status("seen", 3).Console }).WithTimeout(10 * time.Second).Should(ContainElement(ContainSubstring("from inside")))

		_, err = seen.Screenshot(ctx)
		Expect(err).To(MatchError(errors.ErrUnsupported), "the lab's guests have no screen")
		Expect(err).To(MatchError(ContainSubstring("it has no screen: add <video> and <graphics>")))

		virsh("destroy", clones("seen")[0].Name)
		Eventually(func() string { return host.Default.Status("seen", 1).State }).WithTimeout(10 * time.Second).Should(Equal("shut off: a libvirt client destroyed it"))
	})

	It("include a screenshot of a host with a screen", func(ctx SpecContext) {
		disk := emptyDisk("screen-base.qcow2", "qcow2", "1M")
		eventuallyRefresh("default")
		define(strings.NewReplacer(append([]string{"<name>still<", "<name>screen-base<", imageDir + "/lab-two-disks.qcow2", disk}, withScreen...)...).Replace(still))
		configure(`screened = ${booting} { libvirtBaseDomain = screen-base }`)
		text, err := up(ctx, "screened").Screenshot(ctx)
		Expect(err).NotTo(HaveOccurred())
		shot, err := png.Decode(bytes.NewReader(text))
		Expect(err).NotTo(HaveOccurred())
		Expect(shot.Bounds().Dx()).To(BeNumerically(">=", 320))
	})

	It("show each step on the terminal at once, and the hosts in progress reports", func() {
		r := prepareChild()
		r.start("wait for a message", []string{"plain", "filed", "fixed"}, "script", "--quiet", "--return", "--flush", "--command", ginkgoBinary()+" -procs=2 --no-color child.test", "/dev/null")
		processes := r.awaits("running", 1, 2)
		for _, host := range []string{"plain", "filed", "fixed"} {
			for _, step := range []string{`cloned overcast-\S+`, `started`, `address [0-9.]+`} {
				Expect(string(r.Out.Contents())).To(MatchRegexp(`(?m)^overcast: %s_%s: %s after \d+\.\ds in process [12]\r?$`, r.name, host, step))
			}
		}
		Expect(syscall.Kill(processes[0], syscall.SIGUSR1)).To(Succeed())
		r.says("You've requested a progress report", 1)
		r.says(r.name+"_plain: up, running at 198.18.", 1)
		r.word()
		r.leaves(tornDown)
	})

	It("show every host in the output and the reports when a spec fails", func() {
		r := prepareChild(withScreen...)
		r.start("fail", []string{"plain", "fixed"}, ginkgoBinary(), "-procs=2", "--no-color", "--json-report=report.json", "--junit-report=report.xml", "child.test")
		r.leaves(tornDown)
		xml, err := os.ReadFile(filepath.Join(r.dir, "report.xml"))
		Expect(err).NotTo(HaveOccurred())
		for _, text := range []string{string(r.Out.Contents()), string(xml)} {
			Expect(text).To(ContainSubstring(r.name + "_plain: up, running at 198.18."))
			Expect(text).To(MatchRegexp(`screenshot: artifacts/specs-number-\d-\d-%s_plain-\d+\.png`, r.name))
		}
		var reports []types.Report
		text, err := os.ReadFile(filepath.Join(r.dir, "report.json"))
		Expect(err).NotTo(HaveOccurred())
		Expect(json.Unmarshal(text, &reports)).To(Succeed())
		seen := 0
		for _, spec := range reports[0].SpecReports {
			for _, entry := range spec.ReportEntries {
				var diagnostics host.Diagnostics
				Expect(json.Unmarshal([]byte(entry.Value.AsJSON), &diagnostics)).To(Succeed())
				if diagnostics.Label == r.name+"_plain" {
					file, err := os.Open(filepath.Join(r.dir, diagnostics.Screenshot))
					Expect(err).NotTo(HaveOccurred())
					_, err = png.Decode(file)
					Expect(err).NotTo(HaveOccurred())
					Expect(file.Close()).To(Succeed())
					seen++
				}
			}
		}
		Expect(seen).To(Equal(2), "a spec in each process")
	})
})

// withScreen gives the base that boots nothing a screen.
var withScreen = []string{"</devices>", "<graphics type='vnc' autoport='yes'/><video><model type='vga'/></video></devices>"}
