package publicapi

import (
	"fmt"
	"go/types"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/tools/go/packages"
)

const module = "github.com/overcast-go/overcast"

// A user of a public package must be able to write the type of every parameter,
// result and field, and to declare variables of it.
func TestPublicSignaturesMentionNoInternalType(t *testing.T) {
	config := &packages.Config{Mode: packages.NeedName | packages.NeedImports | packages.NeedTypes, Dir: "../.."}
	loaded, err := packages.Load(config, module+"/...")
	require.NoError(t, err)
	require.Zero(t, packages.PrintErrors(loaded))
	public := 0
	for _, p := range loaded {
		if p.Name == "main" || strings.Contains(p.PkgPath+"/", "/internal/") || strings.Contains(p.PkgPath, "/itest") {
			continue
		}
		public++
		assert.Empty(t, mentions(p.Types), p.PkgPath)
	}
	assert.Greater(t, public, 5)
}

func TestMentionsFindsInternalTypes(t *testing.T) {
	secret := types.NewNamed(types.NewTypeName(0, types.NewPackage(module+"/internal/x", "x"), "Secret", nil), types.NewStruct(nil, nil), nil)
	public := types.NewPackage(module+"/public", "public")
	result := types.NewTuple(types.NewVar(0, public, "", types.NewSlice(types.NewPointer(secret))))
	public.Scope().Insert(types.NewFunc(0, public, "F", types.NewSignatureType(nil, nil, nil, nil, result, false)))
	public.Scope().Insert(types.NewFunc(0, public, "unexported", types.NewSignatureType(nil, nil, nil, nil, result, false)))
	assert.Equal(t, []string{"public.F: " + module + "/internal/x.Secret"}, mentions(public))
}

// mentions returns the exported identifiers of a package whose types mention an
// internal type of the module.
func mentions(p *types.Package) []string {
	w := &walker{}
	for _, name := range p.Scope().Names() {
		object := p.Scope().Lookup(name)
		if !object.Exported() {
			continue
		}
		w.at = p.Name() + "." + name
		if named, ok := object.Type().(*types.Named); ok && isTypeName(object) {
			w.declaration(named)
			continue
		}
		w.walk(object.Type())
	}
	return w.found
}

func isTypeName(object types.Object) bool {
	_, ok := object.(*types.TypeName)
	return ok
}

type walker struct {
	at    string
	found []string
}

// declaration walks what a type declares.
func (w *walker) declaration(named *types.Named) {
	w.named(named)
	w.walk(named.Underlying())
	at := w.at
	for method := range named.Methods() {
		if method.Exported() {
			w.at = at + "." + method.Name()
			w.walk(method.Type())
		}
	}
	w.at = at
}

func (w *walker) named(named interface {
	Obj() *types.TypeName
	TypeArgs() *types.TypeList
}) {
	if p := named.Obj().Pkg(); p != nil && strings.HasPrefix(p.Path(), module) && strings.Contains(p.Path()+"/", "/internal/") {
		mention := fmt.Sprintf("%s: %s.%s", w.at, p.Path(), named.Obj().Name())
		if !slices.Contains(w.found, mention) {
			w.found = append(w.found, mention)
		}
	}
	for argument := range named.TypeArgs().Types() {
		w.walk(argument)
	}
}

// walk follows a type as far as its text in a declaration goes.
func (w *walker) walk(t types.Type) {
	switch t := t.(type) {
	case *types.Named:
		w.named(t)
	case *types.Alias:
		w.named(t)
		w.walk(types.Unalias(t))
	case *types.Pointer:
		w.walk(t.Elem())
	case *types.Slice:
		w.walk(t.Elem())
	case *types.Array:
		w.walk(t.Elem())
	case *types.Chan:
		w.walk(t.Elem())
	case *types.Map:
		w.walk(t.Key())
		w.walk(t.Elem())
	case *types.Signature:
		w.walk(t.Params())
		w.walk(t.Results())
	case *types.Tuple:
		for v := range t.Variables() {
			w.walk(v.Type())
		}
	case *types.Struct:
		for field := range t.Fields() {
			if field.Exported() {
				w.walk(field.Type())
			}
		}
	case *types.Interface:
		for method := range t.ExplicitMethods() {
			w.walk(method.Type())
		}
		for embedded := range t.EmbeddedTypes() {
			w.walk(embedded)
		}
	}
}
