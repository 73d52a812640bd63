// Package storage creates and removes volumes and pools, and keeps the undo record of
// what an instance has created.
package storage
