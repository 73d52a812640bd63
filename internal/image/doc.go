// Package image gets disk images into local files that are ready for import into
// a storage pool.
//
// A [Source] says where an image comes from: a local file, a URL, or a volume of
// the hypervisor. [Parse] reads one from the configuration. [Cache.Get] returns
// the image of a file or URL as an [Image]: a local qcow2 or raw file with its
// virtual size and the SHA-256 digest of the file as given.
//
//	cache := &image.Cache{Dir: dir}
//	img, err := cache.Get(ctx, source, printer.Report)
//
// # Downloads
//
// A download is verified while it is written, and renamed to its final name only
// after its digest is right. A download that was cut continues with an HTTP range
// request, also in another process, if the server confirms with an ETag or a
// modification time that the file is the same; otherwise it starts again.
// Transient failures are retried with back-off. One process downloads an image;
// the others wait for it and report its progress.
//
// # Formats
//
// Formats are recognized by their first bytes and not by the file name: qcow2,
// raw, and gzip, xz or zstd of these. Decompressed images are cached too. A qcow2
// image that is encrypted, or that refers to another file, is refused: its header
// could name any file of the hypervisor.
//
// # Cache folder
//
// The cache belongs to one user. Complete files are named by their digest:
//
//	DIGEST                  file as given, from a URL
//	DIGEST.unpacked         decompressed image
//	DIGEST.json             size and modification time after the last verification
//	url-HASH.json           validators of a URL without a digest
//	file-HASH.json          digest of a local file
//	*.part, *.part.json     unfinished file and what is needed to continue it
//	locks/                  locks between processes
package image
