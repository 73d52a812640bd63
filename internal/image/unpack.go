package image

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// First bytes of compressed files.
const (
	gzipMagic = "\x1f\x8b\x08"
	xzMagic   = "\xfd7zXZ\x00"
	zstdMagic = "\x28\xb5\x2f\xfd"
)

// zstdWindow is the most that `zstd --long` uses, in bytes.
const zstdWindow = 2 << 30

// unpack returns the path of an image that is not compressed: path itself, or the
// decompressed file in the cache.
func (c *Cache) unpack(ctx context.Context, path, digest string, m *meter) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading image %s: %w", m.now.Source, reason(err))
	}
	defer file.Close()
	header, err := readHeader(file)
	if err != nil {
		return "", fmt.Errorf("reading image %s: %w", m.now.Source, reason(err))
	}
	open := decompressor(string(header))
	if open == nil {
		return path, nil
	}
	key := digest + unpackedSuffix
	if c.isUnchanged(key) {
		return c.path(key), nil
	}
	l, err := c.acquire(ctx, key, m)
	if err != nil {
		return "", err
	}
	defer l.Release()
	if c.isUnchanged(key) {
		return c.path(key), nil
	}
	part := c.path(key) + partSuffix
	got, err := c.decompress(ctx, file, open, part, m)
	if err == nil && got != digest {
		err = fmt.Errorf("decompressing image %s: %w", m.now.Source, errChanged)
	}
	if err != nil {
		os.Remove(part)
		return "", err
	}
	if err := c.publish(part, key); err != nil {
		return "", fmt.Errorf("decompressing image %s: %w", m.now.Source, err)
	}
	return c.path(key), nil
}

// decompressor returns what decompresses a file with this header, nil if it is
// not compressed.
func decompressor(header string) func(io.Reader) (io.ReadCloser, error) {
	switch {
	case strings.HasPrefix(header, gzipMagic):
		return func(from io.Reader) (io.ReadCloser, error) { return gzip.NewReader(from) }
	case strings.HasPrefix(header, xzMagic):
		return func(from io.Reader) (io.ReadCloser, error) {
			r, err := xz.NewReader(from)
			return io.NopCloser(r), err
		}
	case strings.HasPrefix(header, zstdMagic):
		return func(from io.Reader) (io.ReadCloser, error) {
			r, err := zstd.NewReader(from, zstd.WithDecoderMaxWindow(zstdWindow))
			if err != nil {
				return nil, err
			}
			return r.IOReadCloser(), nil
		}
	}
	return nil
}

// decompress writes the content of a file to part, and returns the digest of what
// it has read of the file.
func (c *Cache) decompress(ctx context.Context, file *os.File, open func(io.Reader) (io.ReadCloser, error), part string, m *meter) (digest string, err error) {
	info, err := file.Stat()
	if err != nil {
		return "", fmt.Errorf("decompressing image %s: %w", m.now.Source, err)
	}
	to, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", fmt.Errorf("decompressing image %s: %w", m.now.Source, c.diskError(err))
	}
	defer to.Close()
	m.step(0, info.Size(), "decompressing")
	counted := &countingReader{ctx: ctx, from: file, advance: func(done int64) { m.advance(done, info.Size()) }}
	sum := sha256.New()
	err = copySparse(to, bufio.NewReaderSize(io.TeeReader(counted, sum), copyBuffer), open)
	switch {
	case err == nil:
		return hex.EncodeToString(sum.Sum(nil)), nil
	case ctx.Err() != nil:
		return "", fmt.Errorf("decompressing image %s: %w", m.now.Source, context.Cause(ctx))
	case errors.As(err, new(localError)):
		return "", fmt.Errorf("decompressing image %s: %w", m.now.Source, c.diskError(err))
	}
	return "", &FormatError{Path: m.now.Source, Problem: "it cannot be decompressed", Err: err}
}

// copySparse decompresses one file into another, and reads the rest of the first
// if the decompressor leaves some.
func copySparse(to *os.File, from io.Reader, open func(io.Reader) (io.ReadCloser, error)) error {
	content, err := open(from)
	if err != nil {
		return err
	}
	defer content.Close()
	sparse := &sparseWriter{file: to}
	if _, err := io.CopyBuffer(sparse, content, make([]byte, copyBuffer)); err != nil {
		return err
	}
	if err := sparse.finish(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, from)
	return err
}

// sparseWriter leaves holes in a file where whole blocks are zero. Its errors are
// of type localError.
type sparseWriter struct {
	file *os.File
	size int64
}

// sparseBlock is the smallest hole, in bytes: common file systems have blocks of
// this size.
const sparseBlock = 4096

var zeros [sparseBlock]byte

func (w *sparseWriter) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		n := w.run(p[written:])
		if !isZero(p[written : written+n]) {
			if _, err := w.file.WriteAt(p[written:written+n], w.size); err != nil {
				return written, localError{err}
			}
		}
		written += n
		w.size += int64(n)
	}
	return written, nil
}

// run returns how many bytes at the start of p are in blocks that are all zero, or
// all not.
func (w *sparseWriter) run(p []byte) int {
	end := min(len(p), sparseBlock-int(w.size%sparseBlock))
	zero := isZero(p[:end])
	for end < len(p) {
		next := min(len(p), end+sparseBlock)
		if isZero(p[end:next]) != zero {
			break
		}
		end = next
	}
	return end
}

func isZero(p []byte) bool {
	for len(p) > sparseBlock {
		if !bytes.Equal(p[:sparseBlock], zeros[:]) {
			return false
		}
		p = p[sparseBlock:]
	}
	return bytes.Equal(p, zeros[:len(p)])
}

// finish gives the file its size, which may end in a hole.
func (w *sparseWriter) finish() error {
	if err := w.file.Truncate(w.size); err != nil {
		return localError{err}
	}
	return nil
}
