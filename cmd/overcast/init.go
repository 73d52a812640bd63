package main

import (
	"bufio"
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/overcast-go/overcast/internal/editdistance"
	"github.com/overcast-go/overcast/internal/image"
	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/provider/libvirt"
	"github.com/spf13/cobra"
)

// Files that init writes.
const (
	initConfig = "overcast.conf"
	initTest   = "overcast_test.go"
)

// initOptions are the flags of init.
type initOptions struct {
	label, url, base, image, user string
	ginkgo, testify, plain, yes   bool
}

func initCommand() *cobra.Command {
	var o initOptions
	command := &cobra.Command{
		Use:   "init [LABEL] [--yes] [--ginkgo | --testify | --plain]",
		Short: "write a first overcast.conf and a first test",
		Long: `init asks the hypervisor for its shut-off domains, networks and pools, looks for disk
images in the current folder and in images/, and asks which of them to use. Then it
writes overcast.conf, with comments, and overcast_test.go, a test that boots a host and
logs in to it. It overwrites no file. LABEL is the label of the host, web_host by default.`,
		Example: `  overcast init
  overcast init --yes --plain
  overcast init db_host --base debian-12 --user admin`,
		Args:              arguments(0, 1, ""),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.label = cmp.Or(strings.Join(args, ""), "web_host")
			return o.run(cmd)
		},
	}
	flags := command.Flags()
	flags.BoolVarP(&o.yes, "yes", "y", false, "ask no questions")
	flags.BoolVar(&o.ginkgo, "ginkgo", false, "write a suite of Ginkgo (default)")
	flags.BoolVar(&o.testify, "testify", false, "write a suite of testify")
	flags.BoolVar(&o.plain, "plain", false, "write a plain test")
	command.MarkFlagsMutuallyExclusive("ginkgo", "testify", "plain")
	flags.StringVarP(&o.url, "connect", "c", cmp.Or(os.Getenv("LIBVIRT_DEFAULT_URI"), defaultHypervisor), "`URL` of the hypervisor, as virsh -c takes it")
	flags.StringVar(&o.base, "base", "", "`NAME` of the shut-off domain to clone")
	flags.StringVar(&o.image, "image", "", "`FILE` of the disk image to clone")
	command.MarkFlagsMutuallyExclusive("base", "image")
	flags.StringVar(&o.user, "user", "", "`NAME` of the user to log in as (default root, or admin with an image)")
	return command
}

var labelPattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)

func (o *initOptions) run(cmd *cobra.Command) error {
	if !labelPattern.MatchString(o.label) {
		return usagef("label %q: it must be letters, digits, _ and -, and begin with a letter", o.label)
	}
	for _, name := range []string{initConfig, initTest} {
		if _, err := os.Lstat(name); err == nil {
			return fmt.Errorf("writing %s: the file exists: run init in another folder, or remove the file", name)
		}
	}
	found, err := libvirt.TakeInventory(cmd.Context(), o.url)
	if err != nil {
		return err
	}
	files, style, err := o.choose(cmd, found)
	if err != nil {
		return err
	}
	if err := files.write(initConfig, initConfig); err != nil {
		return err
	}
	if err := files.write(initTest, style); err != nil {
		return err
	}
	printNextSteps(cmd.OutOrStdout(), o.label)
	return nil
}

// choose asks the questions of init, and returns what is written and the style of the
// test.
func (o *initOptions) choose(cmd *cobra.Command, found libvirt.Inventory) (files initFiles, style string, err error) {
	ask := &questions{in: bufio.NewReader(cmd.InOrStdin()), out: cmd.OutOrStdout(), yes: o.yes}
	files = initFiles{Label: o.label, URL: o.url, Pools: found.Pools}
	if files.Package, err = testPackage("."); err != nil {
		return files, "", err
	}
	if err := o.chooseSource(ask, &files, found); err != nil {
		return files, "", err
	}
	user := "root"
	if files.Image != "" {
		user = "admin"
	}
	if files.User = o.user; files.User == "" {
		if files.User, err = ask.text("User to log in as", user); err != nil {
			return files, "", err
		}
	}
	styles := []string{"ginkgo", "testify", "plain"}
	if n := slices.Index([]bool{o.ginkgo, o.testify, o.plain}, true); n >= 0 {
		return files, styles[n], nil
	}
	n, err := ask.choice("Kind of test", styles, 0)
	if err != nil {
		return files, "", err
	}
	return files, styles[n], nil
}

// chooseSource chooses the base domain or image, and the network.
func (o *initOptions) chooseSource(ask *questions, files *initFiles, found libvirt.Inventory) error {
	images, err := findImages()
	if err != nil {
		return err
	}
	bases := found.Bases
	switch {
	case o.base != "":
		images = nil
		bases = slices.DeleteFunc(slices.Clone(bases), func(b libvirt.BaseDomain) bool { return b.Name != o.base })
		if len(bases) == 0 {
			return o.noBase(found.Bases)
		}
	case o.image != "":
		images, bases = []string{o.image}, nil
		if err := image.Check(o.image); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("choosing an image: file %s does not exist: download a cloud image to there, or correct the path", redact.Text(o.image))
		} else if err != nil {
			return fmt.Errorf("choosing an image: %w", err)
		}
	}
	if len(bases)+len(images) == 0 {
		return noSource(o.url, found.Others)
	}
	var names []string
	for _, b := range bases {
		names = append(names, "domain "+b.Name)
	}
	for _, file := range images {
		names = append(names, "image "+file)
	}
	chosen, err := ask.choice("Hosts are clones of", names, bestBase(bases, found.Networks))
	if err != nil {
		return err
	}
	networks := found.Networks
	if chosen < len(bases) {
		files.Base, networks = bases[chosen].Name, bases[chosen].Networks
		for _, b := range found.Bases {
			if b.Name != files.Base {
				files.OtherBases = append(files.OtherBases, b.Name)
			}
		}
	} else {
		files.Image = images[chosen-len(bases)]
	}
	return files.chooseNetwork(ask, networks, found.Networks)
}

// noBase is the error of a hypervisor without the base domain of --base.
func (o *initOptions) noBase(bases []libvirt.BaseDomain) error {
	var names []string
	for _, b := range bases {
		names = append(names, b.Name)
	}
	hint := editdistance.Suggest(o.base, names, len(o.base)/3)
	return fmt.Errorf("choosing a base domain: %s has no domain %q that is shut off%s: see virsh list --all", redact.Text(o.url), redact.Text(o.base), hint)
}

// noSource is the error of a hypervisor without a base domain in a folder without an
// image.
func noSource(url string, others []string) error {
	text := fmt.Sprintf("looking for a base: %s has no domain that is shut off, and neither this folder nor images/ has a disk image: ", redact.Text(url))
	if len(others) > 0 {
		text += fmt.Sprintf("shut a domain off (virsh shutdown NAME; there are %s), or ", strings.Join(others, ", "))
	}
	return errors.New(text + "download a cloud image to images/")
}

// bestBase is the index of the first base domain with an interface on a network with a
// DHCP server, or 0.
func bestBase(bases []libvirt.BaseDomain, networks []string) int {
	return max(0, slices.IndexFunc(bases, func(b libvirt.BaseDomain) bool { return bestNetwork(b.Networks, networks) >= 0 }))
}

// bestNetwork is the index of the first network that has a DHCP server, or -1.
func bestNetwork(networks, withDHCP []string) int {
	return slices.IndexFunc(networks, func(n string) bool { return slices.Contains(withDHCP, n) })
}

// findImages returns the disk images in this folder and in images/.
func findImages() ([]string, error) {
	var found []string
	for _, dir := range []string{".", "images"} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("looking for images: %w", err)
		}
		for _, entry := range entries {
			name := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(entry.Name(), ".gz"), ".xz"), ".zst")
			if !entry.IsDir() && slices.Contains([]string{".qcow2", ".img", ".raw"}, filepath.Ext(name)) {
				found = append(found, filepath.ToSlash(dir)+"/"+entry.Name())
			}
		}
	}
	return found, nil
}

// testPackage is the name of the package of tests in a folder.
func testPackage(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) != ".go" {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, entry.Name()), nil, parser.PackageClauseOnly)
		if err != nil {
			return "", fmt.Errorf("reading the package of this folder: %w", err)
		}
		return strings.TrimSuffix(file.Name.Name, "_test") + "_test", nil
	}
	full, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	name := regexp.MustCompile(`[^a-z0-9]`).ReplaceAllString(strings.ToLower(filepath.Base(full)), "")
	if name == "" || name[0] < 'a' || token.IsKeyword(name) {
		name = "hosts"
	}
	return name + "_test", nil
}

// printNextSteps says what to do after init.
func printNextSteps(out io.Writer, label string) {
	fmt.Fprintf(out, "wrote %s and %s; now run:\n", initConfig, initTest)
	module, self := moduleFile(), "overcast"
	if strings.Contains(module, overcastModule+"/cmd/overcast") {
		self = "go tool overcast"
	}
	steps := []string{"go mod tidy", self + " doctor " + label, "go test -v -count=1 ."}
	if module == "" {
		steps = append([]string{"go mod init example.com/NAME"}, steps...)
	}
	for _, step := range steps {
		fmt.Fprintln(out, "   ", step)
	}
}

// moduleFile is the go.mod of the module that this folder belongs to, or "".
func moduleFile() string {
	dir, err := os.Getwd()
	for err == nil {
		if text, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil {
			return string(text)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	return ""
}

// initFiles is what the templates of init are filled with.
type initFiles struct {
	Label, URL, Base, Image, User, Network, Package string
	OtherBases, OtherNetworks, Pools                []string
}

func (f *initFiles) chooseNetwork(ask *questions, networks, withDHCP []string) error {
	if len(networks) == 0 {
		return nil
	}
	n, err := ask.choice("Network", networks, max(0, bestNetwork(networks, withDHCP)))
	if err != nil {
		return err
	}
	f.Network = networks[n]
	f.OtherNetworks = slices.DeleteFunc(slices.Clone(networks), func(name string) bool { return name == f.Network })
	return nil
}

//go:embed templates
var templates embed.FS

// write fills a template into a new file.
func (f *initFiles) write(path, name string) error {
	parsed, err := template.New(name+".tmpl").Funcs(template.FuncMap{
		"quote": func(text string) (string, error) { quoted, err := quote(text); return string(quoted), err },
		"join":  func(list []string) string { return strings.Join(list, ", ") },
	}).ParseFS(templates, "templates/"+name+".tmpl")
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := parsed.Execute(&text, f); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	_, err = file.Write(text.Bytes())
	return errors.Join(err, file.Close())
}

// questions asks on standard input. With yes it takes every default.
type questions struct {
	in  *bufio.Reader
	out io.Writer
	yes bool
}

// choice asks for one of several options, and returns its index. It asks only if there is
// more than one.
func (q *questions) choice(question string, options []string, preset int) (int, error) {
	if q.yes || len(options) == 1 {
		return preset, nil
	}
	fmt.Fprintf(q.out, "%s:\n", question)
	for n, option := range options {
		fmt.Fprintf(q.out, "  %d  %s\n", n+1, option)
	}
	for {
		answer, err := q.text("Number", strconv.Itoa(preset+1))
		if err != nil {
			return 0, err
		}
		if n, err := strconv.Atoi(answer); err == nil && n >= 1 && n <= len(options) {
			return n - 1, nil
		}
		fmt.Fprintf(q.out, "%q is not a number from 1 to %d\n", answer, len(options))
	}
}

// text asks for a text. An empty answer is the preset.
func (q *questions) text(question, preset string) (string, error) {
	if q.yes {
		return preset, nil
	}
	fmt.Fprintf(q.out, "%s [%s]: ", question, preset)
	line, err := q.in.ReadString('\n')
	if err != nil && line == "" {
		return "", fmt.Errorf("asking for %q: standard input has ended: use --yes to ask no questions", question)
	}
	return cmp.Or(strings.TrimSpace(line), preset), nil
}
