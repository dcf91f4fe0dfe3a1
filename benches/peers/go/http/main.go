// "Hello" by net/http on one OS thread: prints its port, and serves until it is ended.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
)

func main() {
	runtime.GOMAXPROCS(1)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	err = http.Serve(listener, http.HandlerFunc(hello))
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func hello(response http.ResponseWriter, _ *http.Request) {
	response.Header().Set("Content-Type", "text/plain")
	io.WriteString(response, "Hello, World!")
}
