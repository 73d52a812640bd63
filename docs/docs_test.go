// Package docs_test checks that the guides are true: that the configuration
// reference has every key, and that their examples are accepted.
package docs_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/overcast-go/overcast/provider"
	_ "github.com/overcast-go/overcast/provider/libvirt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// guides are the Markdown files whose examples are checked.
func guides(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("*.md")
	require.NoError(t, err)
	return append(found, "../README.md", "../CONTRIBUTING.md")
}

// block is a fenced code block of a guide.
type block struct {
	file, language, text string
	line                 int
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.file, b.line) }

// blocks reads the fenced code blocks in a language. A fence may be indented,
// as in a list.
func blocks(t *testing.T, language string) []block {
	t.Helper()
	var found []block
	for _, file := range guides(t) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var open *block
		indent := ""
		for n, line := range strings.Split(string(text), "\n") {
			before, fence, isFence := strings.Cut(line, "```")
			switch {
			case isFence && open == nil && strings.TrimSpace(before) == "":
				open, indent = &block{file: file, language: fence, line: n + 1}, before
			case isFence && open != nil && strings.TrimSpace(before) == "":
				if open.language == language {
					found = append(found, *open)
				}
				open = nil
			case open != nil:
				open.text += strings.TrimPrefix(line, indent) + "\n"
			}
		}
		require.Nil(t, open, "%s: a code block is not closed", file)
	}
	require.NotEmpty(t, found)
	return found
}

func TestDemoIsTheTestOfTheREADME(t *testing.T) {
	demo, err := os.ReadFile("../examples/demo/demo_test.go")
	require.NoError(t, err)
	for _, b := range blocks(t, "go") {
		if b.file == "../README.md" && strings.Contains(b.text, "Describe(") {
			assert.Contains(t, string(demo), b.text)
			return
		}
	}
	assert.Fail(t, "README.md has no example")
}

// A spec of the lab runs the example as it is printed.
func TestFirstExampleOfTheREADMENeedsOnlyAnImage(t *testing.T) {
	for _, b := range blocks(t, "hocon") {
		if b.file == "../README.md" {
			assert.Contains(t, b.text, "image = ")
			for _, key := range []string{"libvirtBaseDomain", "connection.url", "domainXML"} {
				assert.NotContains(t, b.text, key)
			}
			return
		}
	}
	assert.Fail(t, "README.md has no configuration")
}

func TestGuidesNameTheVersionOfGo(t *testing.T) {
	module, err := os.ReadFile("../go.mod")
	require.NoError(t, err)
	needed := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(module)
	require.NotNil(t, needed)
	for _, guide := range []string{"../README.md", "getting-started.md"} {
		text, err := os.ReadFile(guide)
		require.NoError(t, err)
		named := regexp.MustCompile(`\bGo (\d+\.\d+)`).FindAllSubmatch(text, -1)
		require.NotEmpty(t, named, guide)
		for _, version := range named {
			assert.Equal(t, string(needed[1]), string(version[1]), guide)
		}
	}
}

func TestArchitectureNamesEveryPackage(t *testing.T) {
	page, err := os.ReadFile("internals.md")
	require.NoError(t, err)
	for pattern, prefix := range map[string]string{"../internal/*": "internal/", "../provider/libvirt/internal/*": ""} {
		folders, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, folders)
		for _, folder := range folders {
			assert.Contains(t, string(page), "`"+prefix+filepath.Base(folder)+"`")
		}
	}
}

func TestReferenceHasEveryParameterOfURLs(t *testing.T) {
	_, err := sshurl.ParseURL("ssh://host?zzzzzzzz=1")
	require.Error(t, err)
	_, list, ok := strings.Cut(err.Error(), "the known ones are ")
	require.True(t, ok, "%v", err)
	list, _, _ = strings.Cut(list, " (")
	text, err := os.ReadFile("configuration.md")
	require.NoError(t, err)
	_, section, _ := strings.Cut(string(text), "## Connection URLs")
	section, _, _ = strings.Cut(section, "\n## ")
	var rows []string
	for _, row := range regexp.MustCompile(`(?m)^\|([^|]*`+"`"+`[^|]*)\|`).FindAllStringSubmatch(section, -1) {
		for _, name := range strings.Split(row[1], ",") {
			rows = append(rows, strings.Trim(name, " `"))
		}
	}
	assert.ElementsMatch(t, strings.Split(list, ", "), rows)
}

// OVERCAST_RUN is not read: it marks the processes of a command on a host.
func TestReferenceHasEveryEnvironmentVariable(t *testing.T) {
	page, err := os.ReadFile("configuration.md")
	require.NoError(t, err)
	_, table, _ := strings.Cut(string(page), "## Environment variables")
	variable := regexp.MustCompile(`"(OVERCAST_[A-Z]+)"`)
	read := map[string]bool{}
	err = filepath.WalkDir("..", func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range variable.FindAllStringSubmatch(string(text), -1) {
			read[found[1]] = found[1] != "OVERCAST_RUN"
		}
		return err
	})
	require.NoError(t, err)
	for name, isRead := range read {
		if isRead {
			assert.Contains(t, table, "| `"+name+"` |")
		}
	}
	assert.Greater(t, len(read), 5)
}

func TestReferenceHasEveryKey(t *testing.T) {
	text, err := os.ReadFile("configuration.md")
	require.NoError(t, err)
	for _, key := range configurationKeys(t) {
		assert.True(t, strings.Contains(string(text), "`"+key+"`"), "docs/configuration.md has no row for key %s", key)
	}
}

// keyRow is a row of the tables of keys: the key, and its example.
var keyRow = regexp.MustCompile("(?m)^\\| `([^`]+)`[^|]*\\|[^|]*\\|[^|]*\\| `([^`]+)` \\|")

func TestReferenceHasAnExampleOfEveryKey(t *testing.T) {
	text, err := os.ReadFile("configuration.md")
	require.NoError(t, err)
	examples := map[string]string{}
	for _, row := range keyRow.FindAllStringSubmatch(string(text), -1) {
		examples[row[1]] = row[2]
	}
	for _, key := range configurationKeys(t) {
		if slices.Contains(conditionKeys, key) {
			continue
		}
		require.NotEmpty(t, examples[key], "the row of key %s has no example", key)
		text := fmt.Sprintf("web {\n%s\n%s\n}\n", neededBy(key), examples[key])
		path := filepath.Join(t.TempDir(), "overcast.conf")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		config, err := fixture.Load(fixture.File(path))
		require.NoError(t, err, text)
		assert.NoError(t, config.Check("web"), text)
	}
}

// conditionKeys are those of the conditions of ready, which its row describes.
var conditionKeys = []string{"port", "http", "status", "log", "file", "cmd"}

// neededBy is the rest of a section in which a key may be.
func neededBy(key string) string {
	const base = "libvirtBaseDomain = b, networkDeviceId = n, connection.url = \"ssh://a@{0}\"\n"
	first, _, _ := strings.Cut(key, ".")
	switch first {
	case "image", "memory", "vcpus", "diskSize", "firmware", "cloudInit", "domainXML":
		return "image = debian.qcow2"
	case "SSH":
		return base + `ipLookupStrategy = SSH, SSH { url = "ssh://a@b", command = "c {0}" }`
	case "static":
		return base + "ipLookupStrategy = static, static.ip = 10.0.0.7"
	case "fsMapping":
		return base + "fsMapping.data.hostPath = /srv"
	case "provision":
		return base + "provision { cmd = c, expirationTag.cmd = c }"
	}
	return base
}

func TestSchemaHasEveryKey(t *testing.T) {
	schema := provider.Schema()
	for _, key := range configurationKeys(t) {
		found := false
		path := strings.Split(key, ".")
		for _, host := range schema["$defs"].(map[string]any) {
			keys := host.(map[string]any)
			found = found || schemaHas(keys, path) || schemaHas(keys, append([]string{"ready"}, path...)) // of a condition
		}
		assert.True(t, found, "the JSON schema has no key %s", key)
	}
}

// schemaHas reports whether a path is in a JSON schema. An element of an array has the
// path of the array, and TARGET is any key.
func schemaHas(schema map[string]any, path []string) bool {
	if items, ok := schema["items"].(map[string]any); ok {
		return schemaHas(items, path)
	}
	if len(path) == 0 {
		return true
	}
	if path[0] == "TARGET" {
		inner, ok := schema["additionalProperties"].(map[string]any)
		return ok && schemaHas(inner, path[1:])
	}
	properties, _ := schema["properties"].(map[string]any)
	inner, ok := properties[path[0]].(map[string]any)
	return ok && schemaHas(inner, path[1:])
}

// configurationKeys reads the keys of a host from the structs that sections are
// decoded into.
func configurationKeys(t *testing.T) []string {
	t.Helper()
	structs := map[string]*ast.StructType{}
	for _, dir := range []string{"../fixture", "../provider", "../provider/libvirt", "../mount", "../internal/host"} {
		files, err := filepath.Glob(dir + "/*.go")
		require.NoError(t, err)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			require.NoError(t, err)
			ast.Inspect(parsed, func(n ast.Node) bool {
				if spec, ok := n.(*ast.TypeSpec); ok {
					if s, ok := spec.Type.(*ast.StructType); ok && hasTag(s) {
						structs[spec.Name.Name] = s
					}
				}
				return true
			})
		}
	}
	nested := map[string]bool{}
	for _, s := range structs {
		for _, field := range s.Fields.List {
			if name, _ := fieldType(field.Type); key(field) != "" {
				nested[name] = true
			}
		}
	}
	var keys []string
	for name, s := range structs {
		if !nested[name] {
			keys = append(keys, keysOf(structs, s, "")...)
		}
	}
	require.Greater(t, len(keys), 30)
	return keys
}

func hasTag(s *ast.StructType) bool {
	for _, field := range s.Fields.List {
		if key(field) != "" {
			return true
		}
	}
	return false
}

// key is the key that a field is decoded from, or "".
func key(field *ast.Field) string {
	if field.Tag == nil {
		return ""
	}
	tag := reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("hocon")
	name, _, _ := strings.Cut(tag, ",")
	return name
}

// fieldType is the name of a field's type, and whether it is a map.
func fieldType(expression ast.Expr) (name string, isMap bool) {
	switch e := expression.(type) {
	case *ast.Ident:
		return e.Name, false
	case *ast.SelectorExpr:
		return e.Sel.Name, false
	case *ast.StarExpr:
		return fieldType(e.X)
	case *ast.MapType:
		name, _ := fieldType(e.Value)
		return name, true
	}
	return "", false
}

func keysOf(structs map[string]*ast.StructType, s *ast.StructType, prefix string) []string {
	var keys []string
	for _, field := range s.Fields.List {
		name := key(field)
		if name == "" {
			continue
		}
		kind, isMap := fieldType(field.Type)
		path := prefix + name
		if isMap {
			path += ".TARGET"
		}
		if inner, ok := structs[kind]; ok {
			keys = append(keys, keysOf(structs, inner, path+".")...)
			continue
		}
		keys = append(keys, path)
	}
	return keys
}

func TestHOCONExamplesAreAccepted(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	for _, b := range blocks(t, "hocon") {
		t.Run(b.String(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "overcast.conf")
			require.NoError(t, os.WriteFile(path, []byte(b.text), 0o600))
			config, err := fixture.Load(fixture.File(path))
			require.NoError(t, err)
			for _, label := range config.Hosts() {
				assert.NoError(t, config.Check(label))
			}
		})
	}
}

// imports are what Go examples may use without importing it, by a pattern that
// shows that they do.
var imports = []struct{ pattern, path string }{
	{`\bcontext\.`, `"context"`},
	{`\bfmt\.`, `"fmt"`},
	{`\btesting\.`, `"testing"`},
	{`\bfixture\.`, `"github.com/overcast-go/overcast/fixture"`},
	{`\bsuite\.`, `"github.com/overcast-go/overcast/suite"`},
	{`\btestifysuite\.`, `testifysuite "github.com/overcast-go/overcast/suite/testify"`},
}

// source turns an example into a file of a package that compiles: examples are
// declarations, or statements of a spec.
func (b block) source(t *testing.T) string {
	t.Helper()
	if strings.HasPrefix(b.text, "package ") {
		return b.text
	}
	if strings.HasPrefix(b.text, "import ") {
		return importsUsed("package example\n\n" + b.text)
	}
	text := b.text
	if _, err := parser.ParseFile(token.NewFileSet(), "", "package example\n"+text, 0); err != nil {
		text = "func _(ctx SpecContext, t *testing.T) {\n" + text + "}\n"
	}
	if strings.Contains(text, "hosts.") && !strings.Contains(text, "var hosts") {
		text = "var hosts = suite.Declare(\"nat_host\", \"static_host\")\n" + text
	}
	var header strings.Builder
	header.WriteString("package example\n\nimport (\n\t. \"github.com/onsi/ginkgo/v2\"\n\t. \"github.com/onsi/gomega\"\n\t. \"github.com/overcast-go/overcast/matchers\"\n")
	for _, i := range imports {
		if regexp.MustCompile(i.pattern).MatchString(text) {
			fmt.Fprintf(&header, "\t%s\n", i.path)
		}
	}
	return header.String() + ")\n\nvar _, _, _ = Describe, Expect, HaveFile\n\n" + text
}

var (
	namedImport = regexp.MustCompile(`(?m)^\t"([^"]+)"$`)
	dotImport   = regexp.MustCompile(`(?m)^(\t|import )\. "`)
)

// importsUsed makes an example that only imports packages compile.
func importsUsed(text string) string {
	text = namedImport.ReplaceAllString(text, "\t_ \"$1\"")
	return dotImport.ReplaceAllString(text, "${1}_ \"")
}

func TestGoExamplesCompile(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles every example of the guides")
	}
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	folder := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	var packages []string
	for n, b := range blocks(t, "go") {
		file := filepath.Join(folder, fmt.Sprintf("%d.go", n))
		text := fmt.Sprintf("//line %s:1\n%s", b, b.source(t))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		overlay.Replace[filepath.Join(root, "docs", "examples", fmt.Sprint(n), "example.go")] = file
		packages = append(packages, fmt.Sprintf("./docs/examples/%d", n))
	}
	data, err := json.Marshal(overlay)
	require.NoError(t, err)
	list := filepath.Join(folder, "overlay.json")
	require.NoError(t, os.WriteFile(list, data, 0o600))
	build := exec.Command("go", append([]string{"build", "-overlay", list}, packages...)...)
	build.Dir = root
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)
}

func TestPortablePackagesOfTheGuideAreThoseThatMakePortableCompiles(t *testing.T) {
	guide, err := os.ReadFile("compatibility.md")
	require.NoError(t, err)
	_, list, ok := strings.Cut(string(guide), "and Linux (arm64):")
	require.True(t, ok)
	list, _, _ = strings.Cut(list, ".")
	var claimed []string
	for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(list, -1) {
		claimed = append(claimed, "./"+name[1])
	}
	makefile, err := os.ReadFile("../Makefile")
	require.NoError(t, err)
	compiled := regexp.MustCompile(`(?m)^PORTABLE := (.*)$`).FindSubmatch(makefile)
	require.NotNil(t, compiled)
	assert.ElementsMatch(t, claimed, strings.Fields(string(compiled[1])))
}
