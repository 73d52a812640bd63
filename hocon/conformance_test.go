package hocon_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/overcast-go/overcast/hocon"
)

// A conformanceCase is an input and its expected result: the document in
// wantFile or, if wantError, an error. A case without either is only included by
// others.
type conformanceCase struct {
	group, name, input string
	wantFile           string
	wantError          bool
	message            string // the end of the error; only this project's cases have it
}

// TestConformance runs the cases in testdata, and those in the folder that
// HOCON_CORPUS names.
func TestConformance(t *testing.T) {
	roots := map[string]string{"own": filepath.Join("..", "testdata")}
	if corpus := os.Getenv("HOCON_CORPUS"); corpus != "" {
		roots["corpus"] = corpus
	} else {
		t.Log("HOCON_CORPUS is not set: running only the cases in testdata")
	}
	for name, root := range roots {
		t.Run(name, func(t *testing.T) { runCorpus(t, root) })
	}
}

func runCorpus(t *testing.T, root string) {
	type tally struct{ passed, failed, skipped int }
	tallies := map[string]*tally{}
	for _, c := range findCases(t, root) {
		count := tallies[c.group]
		if count == nil {
			count = &tally{}
			tallies[c.group] = count
		}
		if c.wantFile == "" && !c.wantError {
			count.skipped++
			continue
		}
		if t.Run(c.group+"/"+c.name, func(t *testing.T) { runCase(t, c) }) {
			count.passed++
		} else {
			count.failed++
		}
	}
	if len(tallies) == 0 {
		t.Fatalf("no cases in %s", root)
	}
	var sum tally
	groups := make([]string, 0, len(tallies))
	for group, n := range tallies {
		groups = append(groups, group)
		sum.passed, sum.failed, sum.skipped = sum.passed+n.passed, sum.failed+n.failed, sum.skipped+n.skipped
	}
	slices.Sort(groups)
	for _, group := range groups {
		t.Logf("%-28s passed %3d  failed %3d  skipped %3d", group, tallies[group].passed, tallies[group].failed, tallies[group].skipped)
	}
	t.Logf("%-28s passed %3d  failed %3d  skipped %3d", "total", sum.passed, sum.failed, sum.skipped)
}

// findCases lists the cases in a folder. An input testdata/hocon/GROUP/NAME.conf
// has its result in expected/hocon/GROUP/NAME-expected.json or NAME.error, or in
// its own folder. All files of a group equivNN have the result original.json.
func findCases(t *testing.T, root string) []conformanceCase {
	inputs, expected := filepath.Join(root, "testdata", "hocon"), filepath.Join(root, "expected", "hocon")
	if _, err := os.Stat(inputs); err != nil {
		inputs = filepath.Join(root, "hocon")
		expected = inputs
	}
	var cases []conformanceCase
	err := filepath.WalkDir(inputs, func(path string, d fs.DirEntry, err error) error {
		extension := filepath.Ext(path)
		if err != nil || d.IsDir() || !slices.Contains([]string{".conf", ".json", ".properties"}, extension) || strings.Contains(path, "-expected") {
			return err
		}
		within, err := filepath.Rel(inputs, path)
		if err != nil {
			return err
		}
		c := conformanceCase{group: filepath.Dir(within), name: strings.TrimSuffix(filepath.Base(path), extension), input: path}
		base := filepath.Join(expected, c.group, c.name)
		if sibling := isSibling(path, extension); !sibling && isFile(base+"-expected.json") {
			c.wantFile = base + "-expected.json"
		} else if !sibling {
			c.wantError = isFile(base+".error") || isFile(base+"-expected-error.json")
		}
		if original := filepath.Join(filepath.Dir(path), "original.json"); isFile(original) {
			c.wantFile = original
		}
		if c.group == "." {
			c.group = "top"
		}
		if message, err := os.ReadFile(base + ".error"); err == nil && inputs == expected {
			c.message = strings.TrimSpace(string(message))
		}
		cases = append(cases, c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// isSibling reports whether a file is an include of the .conf file of the same
// name.
func isSibling(path, extension string) bool {
	return extension != ".conf" && isFile(strings.TrimSuffix(path, extension)+".conf")
}

// machineDependent removes keys whose expected result depends on the machine.
// In test01, which test03 includes, "system" concatenates text with optional
// substitutions for system properties. The expected result does not have the
// key, although the specification says: "if it is part of a value concatenation
// with another string then it should become an empty string".
var machineDependent = map[string]func(root map[string]any){
	"top/test01": func(root map[string]any) { delete(root, "system") },
	"top/test03": func(root map[string]any) { delete(root["test01"].(map[string]any), "system") },
}

func runCase(t *testing.T, c conformanceCase) {
	env := readEnv(t, strings.TrimSuffix(c.input, filepath.Ext(c.input))+".env")
	doc, err := hocon.ParseFile(t.Context(), c.input, nil)
	var root *hocon.Value
	if err == nil {
		root, err = doc.Resolve(t.Context(), &hocon.ResolveOptions{Env: func(name string) (string, bool) { value, ok := env[name]; return value, ok }})
	}
	if c.wantError {
		checkRefused(t, err)
		if !strings.HasSuffix(err.Error(), c.message) {
			t.Errorf("got the error\n%v\nwant one that ends in\n%s", err, c.message)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(c.wantFile)
	if err != nil {
		t.Fatal(err)
	}
	gotJSON, wantJSON := decodeJSON(t, got), decodeJSON(t, want)
	if prune := machineDependent[c.group+"/"+c.name]; prune != nil {
		prune(gotJSON.(map[string]any))
	}
	if difference := differ("", gotJSON, wantJSON); difference != "" {
		t.Fatalf("%s\n got: %s\nwant: %s", difference, got, want)
	}
}

func checkRefused(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("got no error")
	}
	var at hocon.Error
	if !errors.As(err, &at) || at.Position().Line == 0 {
		t.Fatalf("the error has no position: %v", err)
	}
	if !strings.HasPrefix(err.Error(), at.Position().String()+": ") {
		t.Fatalf("the error does not start with its position: %v", err)
	}
	t.Log(err)
}

// readEnv reads KEY=VALUE lines. The file may be missing.
func readEnv(t *testing.T, path string) map[string]string {
	env := map[string]string{}
	f, err := os.Open(path)
	if err != nil {
		return env
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), "="); ok && !strings.HasPrefix(key, "#") {
			env[key] = value
		}
	}
	return env
}

func decodeJSON(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	decoder := json.NewDecoder(strings.NewReader(strings.TrimPrefix(string(text), "\uFEFF")))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, text)
	}
	return v
}

// differ compares two JSON documents. Numbers are compared by value, and a key
// whose value is null counts as missing. It returns the first difference, or "".
func differ(path string, got, want any) string {
	mismatch := fmt.Sprintf("at %q: got %v, want %v", path, got, want)
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok {
			return mismatch
		}
		keys := map[string]bool{}
		for key := range got {
			keys[key] = true
		}
		for key := range want {
			keys[key] = true
		}
		for key := range keys {
			if d := differ(path+"."+key, got[key], want[key]); d != "" {
				return d
			}
		}
		return ""
	case []any:
		got, ok := got.([]any)
		if !ok || len(got) != len(want) {
			return mismatch
		}
		for i := range want {
			if d := differ(fmt.Sprintf("%s[%d]", path, i), got[i], want[i]); d != "" {
				return d
			}
		}
		return ""
	case json.Number:
		if got, ok := got.(json.Number); ok && sameNumber(string(got), string(want)) {
			return ""
		}
		return mismatch
	}
	if got != want {
		return mismatch
	}
	return ""
}

func sameNumber(a, b string) bool {
	x, okX := new(big.Rat).SetString(a)
	y, okY := new(big.Rat).SetString(b)
	if a == b || okX && okY && x.Cmp(y) == 0 {
		return true
	}
	f, errF := strconv.ParseFloat(a, 64) // the JVM rounds to a double
	g, errG := strconv.ParseFloat(b, 64)
	return errF == nil && errG == nil && f == g
}

// printed returns the text of a scalar, and other values as JSON.
func printed(t *testing.T, v *hocon.Value) string {
	t.Helper()
	if text, err := v.Text(); err == nil {
		return text
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
