module github.com/overcast-go/overcast

go 1.26.0

require golang.org/x/sys v0.49.0
