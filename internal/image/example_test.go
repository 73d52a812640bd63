package image_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/internal/image"
)

func ExampleCache_Get() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "disk.img")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		panic(err)
	}
	source, err := image.FileSource(file)
	if err != nil {
		panic(err)
	}
	cache := &image.Cache{Dir: filepath.Join(dir, "images")}
	img, err := cache.Get(context.Background(), source, image.NewPrinter(os.Stderr).Report)
	if err != nil {
		panic(err)
	}
	fmt.Println(img.Format, img.VirtualSize, img.SHA256[:8])
	// Output: raw 1048576 30e14955
}

func ExampleParse() {
	ctx := context.Background()
	doc, err := hocon.Parse(ctx, "overcast.conf", []byte(`
		web.image = default/debian-12.qcow2
		db.image = { url = "https://me:secret@example.org/debian-12.qcow2?token=1", sha256 = none }
	`), nil)
	if err != nil {
		panic(err)
	}
	root, err := doc.Resolve(ctx, nil)
	if err != nil {
		panic(err)
	}
	for _, label := range []string{"web", "db"} {
		value, _ := root.Get(label, "image")
		source, err := image.Parse(value, "/nowhere")
		fmt.Println(source, err)
	}
	// Output:
	// default/debian-12.qcow2 <nil>
	// https://********@example.org/debian-12.qcow2?******** <nil>
}
