module github.com/overcast-go/overcast

go 1.26
