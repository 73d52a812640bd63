package itest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/itest/internal/rpcproxy"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt"
)

// faultsVariable asks for all faults: of every call, and not only of one of each step.
const faultsVariable = "ITEST_FAULTS"

// faultyLibvirt starts a proxy for libvirtd for the length of a spec, and returns it and
// its URL for libvirt.
func faultyLibvirt() (proxy *rpcproxy.Proxy, url string) {
	GinkgoHelper()
	dir, err := os.MkdirTemp("", "proxy") // the path of a socket is short
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(os.RemoveAll, dir)
	path := filepath.Join(dir, "socket")
	proxy, err = rpcproxy.Start(path, "/run/libvirt/libvirt-sock")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(proxy.Close)
	return proxy, "qemu+unix:///system?socket=" + path
}

// faultyHosts are the configurations of the clones that the faults are injected into. They
// differ in the calls that create and remove them.
var faultyHosts = map[string]string{
	"unlinked": `%s = ${booting} { libvirtURL = %q, libvirtStartTimeout = 2 minutes }`,
	"file":     `%s = ${booting} { libvirtURL = %q, libvirtStartTimeout = 2 minutes, overlay = file }`,
	"defined":  `%s = ${booting} { libvirtURL = %q, libvirtStartTimeout = 2 minutes, overlay = file, libvirtBaseDomain = faulty-base }`,
	"dhcp":     `%s = ${guest} { libvirtURL = %q, libvirtStartTimeout = 2 minutes }`,
}

// faultySetUpLimit is the time limit of a set-up with a fault. It is longer than all waits
// in the configurations.
const faultySetUpLimit = 4 * time.Minute

// faultyRun is a set-up and a teardown with a fault in one of their calls.
type faultyRun struct {
	label, url string
	proxy      *rpcproxy.Proxy

	setUp      error
	tearDown   error // of the first teardown
	setUpCalls int   // number of calls that the set-up made
}

// withFault sets a host up and tears it down, with a fault. A set-up whose call hangs is
// cancelled then if cancels is set. A second teardown must succeed, and nothing may be left
// after it.
func withFault(ctx context.Context, host string, fault rpcproxy.Fault, cancels bool) *faultyRun {
	GinkgoHelper()
	base := virsh("dumpxml", "--inactive", "my_base_domain")
	if host == "defined" {
		defineEverything("faulty-base", `<os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type></os>`)
		before := belongings()
		defer func() { Expect(belongings()).To(ConsistOf(before)) }()
	}
	r := &faultyRun{label: fmt.Sprintf("faulty_%s_%d", host, GinkgoParallelProcess())}
	r.proxy, r.url = faultyLibvirt()
	configure(faultyHosts[host], r.label, r.url)
	limited, cancel := context.WithTimeout(ctx, faultySetUpLimit)
	defer cancel()
	if cancels {
		fault.Then = cancel
	}
	r.proxy.Inject(fault)
	_, r.setUp = fixture.SetUp(limited, r.label)
	r.setUpCalls = len(r.proxy.Calls())
	r.tearDown = fixture.TearDown(ctx, r.label)
	GinkgoWriter.Printf("%s of %s, call %d:\n  set-up: %v\n  teardown: %v\n", fault.Kind, r.proxy.Injected(), len(r.proxy.Calls()), r.setUp, r.tearDown)
	if r.tearDown != nil {
		Expect(fixture.TearDown(ctx, r.label)).To(Succeed(), "the second teardown")
	}
	Expect(leftovers(r.label)).To(BeEmpty())
	Expect(clonesFiles(r.label)).To(BeEmpty())
	Expect(virsh("pool-list", "--all", "--name")).NotTo(ContainSubstring(r.label))
	Expect(virsh("dumpxml", "--inactive", "my_base_domain")).To(Equal(base))
	return r
}

// expectCause expects an error of a host that has the cause which belongs to a fault.
func (r *faultyRun) expectCause(err error, kind rpcproxy.Kind) {
	GinkgoHelper()
	Expect(err).To(MatchError(ContainSubstring(r.label)))
	if kind == rpcproxy.Drop {
		Expect(err).To(MatchError(fixture.ErrHypervisorNotReachable))
		Expect(err).To(MatchError(ContainSubstring(r.url)))
		return
	}
	Expect(err).To(MatchError(ContainSubstring("libvirt: " + rpcproxy.Message)))
}

// faultyStep is a call of a set-up or a teardown, and what the error for it says.
type faultyStep struct {
	host        string
	call, after string // see [rpcproxy.Fault]
	text        string // what the error says was being done; "" if the call may fail
	skip        int    // see [rpcproxy.Fault]
}

// fault returns a fault in the step.
func (s faultyStep) fault(kind rpcproxy.Kind) rpcproxy.Fault {
	return rpcproxy.Fault{Kind: kind, Call: s.call, After: s.after, Skip: s.skip}
}

// Calls after which a set-up has taken certain steps.
const (
	baseRead = "virDomainHasManagedSaveImage"
	created  = "virStorageVolCreateXML"
	resumed  = "virDomainResume"
	removed  = "virDomainDestroy"
)

// setUpSteps are the calls of a set-up, in their order, without repetitions.
var setUpSteps = []faultyStep{
	{"unlinked", "authList", "", "connecting to", 0},
	{"unlinked", "virConnectOpen", "", "connecting to", 0},
	{"unlinked", "virConnectSupportsFeature", "", "", 0},
	{"unlinked", "virConnectDomainEventRegisterAny", "", "registering for events", 0},
	{"unlinked", "virConnectRegisterCloseCallback", "", "registering for the end of the connection", 0},
	{"unlinked", "virConnectListAllDomains", "", "", 0}, // of the sweep, which the next run repeats
	{"unlinked", "virConnectListAllStoragePools", "", "", 0},
	{"unlinked", "virStoragePoolListAllVolumes", "", "", 0},
	{"unlinked", "virDomainLookupByName", "", `looking up base domain "my_base_domain"`, 0},
	{"unlinked", "virDomainGetState", "virDomainLookupByName", `asking for the state of base domain "my_base_domain"`, 0},
	{"unlinked", "virDomainHasManagedSaveImage", "", `asking for the state of base domain "my_base_domain"`, 0},
	{"unlinked", "virDomainGetXMLDesc", baseRead, `reading the definition of base domain "my_base_domain"`, 0},
	{"unlinked", "virDomainGetBlockInfo", "", "disk vda: the hypervisor cannot read", 0},
	{"unlinked", "virStorageVolLookupByPath", "", "", 0}, // the pools are searched
	{"unlinked", "virStoragePoolLookupByVolume", "", "looking up the pool of", 0},
	{"unlinked", "virStoragePoolGetXMLDesc", baseRead, "reading the definition of a pool", 0},
	{"unlinked", "virStoragePoolLookupByName", baseRead, "looking up pool default", 0},
	{"unlinked", "virStoragePoolGetInfo", baseRead, "reading the free space of pool default", 0},
	{"unlinked", "virConnectListAllNetworks", "", "listing networks", 0},
	{"unlinked", "virNetworkLookupByName", "", `looking up network "my_nat_network"`, 0},
	{"unlinked", "virNetworkIsActive", "", `reading the state of network "my_nat_network"`, 0},
	{"unlinked", "virConnectGetHostname", "", "reading the host name of the hypervisor", 0},
	{"unlinked", "virNodeGetMemoryStats", "", "reading the memory of the hypervisor", 0},
	{"unlinked", "virDomainGetInfo", "", "", 0}, // another clone counts as ended
	{"unlinked", "virDomainLookupByUUID", "", "looking up the domain with UUID", 0},
	{"unlinked", "virStorageVolCreateXML", baseRead, "creating volume", 0},
	{"unlinked", "virStorageVolGetPath", created, "reading the path of volume", 0},
	{"unlinked", "virDomainCreateXML", "", "starting domain overcast-", 0},
	{"unlinked", "virStorageVolDelete", created, "unlinking volume", 0},
	{"unlinked", "virDomainResume", "", "starting domain overcast-", 0},
	{"unlinked", "virDomainOpenConsole", "", "", 0}, // the clone runs without its console
	{"defined", "virConnectDomainXMLToNative", "", `determining the firmware of base domain "faulty-base"`, 0},
	{"defined", "virDomainDefineXML", "", "defining the domain", 0},
	{"defined", "virStoragePoolCreateXML", "", "copying TPM state", 0},
	{"defined", "virStorageVolGetInfo", "virStoragePoolCreateXML", "copying TPM state", 0},
	{"defined", "virStorageVolLookupByName", "virStoragePoolCreateXML", "copying TPM state", 0},
	{"defined", "virStoragePoolDestroy", "", "", 0}, // the teardown repeats it
	{"defined", "virStorageVolCreateXMLFrom", "", "copying TPM state", 0},
	{"defined", "virDomainCreateWithFlags", "", "starting domain overcast-", 0},
	{"dhcp", "virNetworkGetBridgeName", "", "", 0}, // another strategy finds the address
	{"dhcp", "virNetworkGetXMLDesc", "", "", 0},
	{"dhcp", "virNetworkGetDHCPLeases", "", "", 0},
	{"dhcp", "virNetworkGetDHCPLeases", resumed, "", 0},
	{"dhcp", "virDomainIsPersistent", resumed, "writing it to the metadata of domain overcast-", 0},
	{"dhcp", "virDomainIsActive", resumed, "", 0},
	{"dhcp", "virDomainSetMetadata", "", "writing it to the metadata of domain overcast-", 0},
	{"dhcp", "virConnectListAllDomains", "virDomainSetMetadata", "listing domains", 0},
}

// tearDownSteps are the calls of a teardown.
var tearDownSteps = []faultyStep{
	{"unlinked", "virStorageVolCreateXML", resumed, "", 0}, // of empty files for those that were unlinked
	{"unlinked", "virDomainGetState", resumed, "", 0},
	{"unlinked", "virStoragePoolLookupByName", resumed, "", 0},
	{"unlinked", "virDomainLookupByName", resumed, "removing domain overcast-", 1},
	{"unlinked", "virDomainDestroy", resumed, "removing domain overcast-", 0},
	{"unlinked", "virDomainIsPersistent", resumed, "removing domain overcast-", 0},
	{"unlinked", "virConnectDomainEventDeregisterAny", resumed, "", 0},
	{"unlinked", "virConnectUnregisterCloseCallback", resumed, "", 0},
	{"unlinked", "virConnectClose", resumed, "", 0},
	{"file", "virStoragePoolLookupByName", removed, "removing volume overcast-", 0},
	{"file", "virStorageVolLookupByName", removed, "removing volume overcast-", 0},
	{"file", "virStorageVolDelete", removed, "removing volume overcast-", 0},
	{"defined", "virDomainUndefineFlags", removed, "removing domain overcast-", 0},
}

// untestedCalls are calls that no step of the tables has, with the reason.
var untestedCalls = map[string]string{
	"virConnectGetLibVersion": "only the keepalive makes it, for which an error is an answer too",
	"virStorageVolGetXMLDesc": "only the sweep makes it, for volumes that other runs have left",
}

// callsBeforeReconnect are calls of a set-up between its plan and its creation. If they
// lose the connection, the creation opens a new one.
var callsBeforeReconnect = []string{"virDomainGetInfo"}

// callsOfIdentity are calls of a set-up before its creation if there was an earlier clone,
// whose identity the clone may take, and otherwise after it.
var callsOfIdentity = []string{"virNetworkGetXMLDesc", "virNetworkGetDHCPLeases"}

// changingCalls are the calls after whose failure it matters whether libvirt has executed
// them.
var changingCalls = []string{
	"virDomainCreateXML", "virDomainCreateWithFlags", "virDomainDefineXML", "virDomainDestroy", "virDomainResume", "virDomainUndefineFlags",
	"virStoragePoolCreateXML", "virStorageVolCreateXML", "virStorageVolCreateXMLFrom", "virStorageVolDelete",
}

// fewSteps are the calls whose faults every run of the suite injects, if they are errors.
var fewSteps = []string{"virStorageVolCreateXML", "virDomainCreateXML", "virDomainResume", "virDomainDestroy"}

// faultyEntries returns the entries of a table: one for each step and kind of fault with
// [faultsVariable], else those of fewSteps.
func faultyEntries(table any, steps []faultyStep, kinds ...rpcproxy.Kind) []any {
	all := []any{table}
	for _, s := range steps {
		if os.Getenv(faultsVariable) == "" && (s.text == "" || !slices.Contains(fewSteps, s.call)) {
			continue
		}
		for _, kind := range kinds {
			if kind == rpcproxy.Fail && (os.Getenv(faultsVariable) == "" || !slices.Contains(changingCalls, s.call)) {
				continue
			}
			args := []any{s, kind}
			if s.host == "defined" {
				args = append(args, Serial) // it compares all files of all domains
			}
			all = append(all, Entry(s.title(kind), args...))
		}
	}
	return all
}

// title returns the title of the entry of a step.
func (s faultyStep) title(kind rpcproxy.Kind) string {
	title := fmt.Sprintf("%s: %s (%s)", kind, s.call, s.host)
	if s.after != "" {
		title += " after " + s.after
	}
	return title
}

// callsWithoutEntry returns the calls that no step of a table has.
func callsWithoutEntry(calls []string, steps []faultyStep) (missing []string) {
	for _, call := range calls {
		has := func(s faultyStep) bool { return s.call == call }
		if untestedCalls[call] == "" && !slices.ContainsFunc(steps, has) && !slices.Contains(missing, call) {
			missing = append(missing, call)
		}
	}
	return missing
}

// faults labels the specs that inject faults into libvirt.
var faults = Label("faults")

var _ = Describe("a fault of libvirt", faults, func() {
	DescribeTable("in a step of set-up fails it, and leaves nothing", faultyEntries(func(ctx SpecContext, s faultyStep, kind rpcproxy.Kind) {
		r := withFault(ctx, s.host, s.fault(kind), false)
		Expect(r.proxy.Injected()).To(Equal(s.call))
		switch {
		case kind == rpcproxy.Drop && slices.Contains(callsBeforeReconnect, s.call):
			Expect(r.setUp).NotTo(HaveOccurred())
		case kind == rpcproxy.Drop && s.after == "" && r.setUp == nil:
			Expect(callsOfIdentity).To(ContainElement(s.call))
		case kind == rpcproxy.Drop:
			r.expectCause(r.setUp, kind)
		case s.text == "":
			Expect(r.setUp).NotTo(HaveOccurred())
		default:
			r.expectCause(r.setUp, kind)
			Expect(r.setUp).To(MatchError(ContainSubstring(s.text)))
		}
		Expect(r.tearDown).NotTo(HaveOccurred())
	}, setUpSteps, rpcproxy.Refuse, rpcproxy.Fail, rpcproxy.Drop)...)

	// The clean-up of the set-up waits until libvirt has answered.
	DescribeTable("that hangs does not prevent the cancellation of a set-up, which leaves nothing", faultyEntries(func(ctx SpecContext, s faultyStep, kind rpcproxy.Kind) {
		r := withFault(ctx, s.host, s.fault(kind), true)
		Expect(r.proxy.Injected()).To(Equal(s.call))
		Expect(r.setUp).To(MatchError(context.Canceled))
		Expect(r.setUp).To(MatchError(ContainSubstring("setting up " + r.label)))
		Expect(r.tearDown).NotTo(HaveOccurred())
	}, setUpSteps, rpcproxy.Hang)...)

	DescribeTable("that hangs for less than the limits of set-up and teardown delays them", faultyEntries(func(ctx SpecContext, s faultyStep, kind rpcproxy.Kind) {
		r := withFault(ctx, s.host, s.fault(kind), false)
		Expect(r.proxy.Injected()).To(Equal(s.call))
		Expect(r.setUp).NotTo(HaveOccurred())
		Expect(r.tearDown).NotTo(HaveOccurred())
	}, tearDownSteps, rpcproxy.Hang)...)

	DescribeTable("in a step of teardown fails it at most once, and leaves nothing", faultyEntries(func(ctx SpecContext, s faultyStep, kind rpcproxy.Kind) {
		r := withFault(ctx, s.host, s.fault(kind), false)
		Expect(r.setUp).NotTo(HaveOccurred())
		Expect(r.proxy.Injected()).To(Equal(s.call))
		if s.text == "" {
			if kind != rpcproxy.Drop {
				Expect(r.tearDown).NotTo(HaveOccurred())
			}
			return // after the end of its connection, a teardown may fail
		}
		Expect(r.tearDown).To(MatchError(And(ContainSubstring("tearing down "+r.label), ContainSubstring(s.text))))
	}, tearDownSteps, rpcproxy.Refuse, rpcproxy.Fail, rpcproxy.Drop)...)

	if os.Getenv(faultsVariable) == "" {
		return
	}

	DescribeTable("is injected into each call of set-up and teardown", func(ctx SpecContext, host string) {
		r := withFault(ctx, host, rpcproxy.Fault{Call: "none"}, false)
		Expect(r.setUp).NotTo(HaveOccurred())
		Expect(r.tearDown).NotTo(HaveOccurred())
		calls := r.proxy.Calls()
		GinkgoWriter.Println("set-up:", calls[:r.setUpCalls])
		GinkgoWriter.Println("teardown:", calls[r.setUpCalls:])
		Expect(callsWithoutEntry(calls[:r.setUpCalls], setUpSteps)).To(BeEmpty(), "calls of the set-up that setUpSteps does not have")
		Expect(callsWithoutEntry(calls[r.setUpCalls:], tearDownSteps)).To(BeEmpty(), "calls of the teardown that tearDownSteps does not have")
	},
		Entry("of a host with unlinked overlays", "unlinked"),
		Entry("of a host with overlay files", "file"),
		Entry("of a host whose domain is defined", "defined", Serial),
		Entry("of a host whose address is looked up", "dhcp"))

	It("that delays the answer to a keepalive does not make the connection lost", func(ctx SpecContext) {
		proxy, url := faultyLibvirt()
		label := fmt.Sprintf("faulty_keepalive_%d", GinkgoParallelProcess())
		configure(faultyHosts["unlinked"], label, url)
		up(ctx, label)
		made := func(name string) (count int) {
			for _, call := range proxy.Calls() {
				if call == name {
					count++
				}
			}
			return count
		}
		opened, registered := made("virConnectOpen"), made("virConnectRegisterCloseCallback")
		proxy.Inject(rpcproxy.Fault{Kind: rpcproxy.Hang, Call: "virConnectGetLibVersion", Delay: time.Minute})
		// The third request over a connection of its own is sent after the limit for an answer.
		Eventually(made).WithArguments("virConnectOpen").WithTimeout(time.Minute).Should(BeNumerically(">=", opened+3))
		Expect(proxy.Injected()).To(Equal("virConnectGetLibVersion"))
		Expect(registry.Status(label, 0).State).To(Equal(provider.StateRunning))
		Expect(made("virConnectRegisterCloseCallback")).To(Equal(registered), "the domain is not watched over a new connection")
		Expect(fixture.TearDown(ctx, label)).To(Succeed())
		Expect(leftovers(label)).To(BeEmpty())
	})

	It("in the look-up of DHCP leases fails the set-up, and leaves nothing", func(ctx SpecContext) {
		r := withFault(ctx, "dhcp", rpcproxy.Fault{Kind: rpcproxy.Drop, Call: "virNetworkGetDHCPLeases", After: resumed}, false)
		r.expectCause(r.setUp, rpcproxy.Drop)
		Expect(r.tearDown).NotTo(HaveOccurred())
	})

	It("does not make a teardown wait for the end of its connection", func(ctx SpecContext) {
		proxy, url := faultyLibvirt()
		label := fmt.Sprintf("faulty_close_%d", GinkgoParallelProcess())
		configure(faultyHosts["unlinked"], label, url)
		up(ctx, label)
		proxy.Inject(rpcproxy.Fault{Kind: rpcproxy.Hang, Call: "virConnectClose", Delay: 10 * time.Minute})
		Expect(fixture.TearDown(ctx, label)).To(Succeed())
		Eventually(proxy.Injected).WithTimeout(time.Minute).Should(Equal("virConnectClose"))
		Expect(leftovers(label)).To(BeEmpty())
	}, NodeTimeout(2*time.Minute))

	It("does not make garbage collection remove a volume whose users it cannot read", Serial, func(ctx SpecContext) {
		configure(`models = ${booting}`)
		up(ctx, "models")
		volume := ownerGone(clones("models")[0].Name) + "-vda.qcow2"
		virsh("vol-create-as", "default", volume, "1M")
		DeferCleanup(func() { virsh("vol-delete", volume, "default") })
		define(`<domain type='qemu'><name>volume-user</name><memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os>
			<devices><disk type='file' device='disk'><source file='` + imageDir + "/" + volume + `'/><target dev='vda'/></disk></devices></domain>`)
		proxy, url := faultyLibvirt()
		for calls, end := 0, false; !end; calls++ {
			proxy.Inject(rpcproxy.Fault{Kind: rpcproxy.Refuse, Call: "virDomainGetXMLDesc", Skip: calls})
			_, err := libvirt.GC(ctx, url, libvirt.GCOptions{Label: "models"})
			end = proxy.Injected() == ""
			if err != nil {
				Expect(err).To(MatchError(ContainSubstring(rpcproxy.Message)))
			}
			Expect(imageDir + "/" + volume).To(BeAnExistingFile())
		}
	})

})
