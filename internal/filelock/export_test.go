package filelock

var DirIn = dirIn
