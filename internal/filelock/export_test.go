//go:build unix

package filelock

var DirIn = dirIn
