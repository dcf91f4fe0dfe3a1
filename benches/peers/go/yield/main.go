// So many goroutines that do nothing but yield, on one OS thread: yield LIVE SECONDS, prints the nanoseconds
// of one yield.
package main

import (
	"runtime"

	"peers/laps"
)

func main() {
	runtime.GOMAXPROCS(1)
	live, seconds := laps.Number(1), laps.Seconds(2)
	laps := laps.New(live, seconds)
	for number := 0; number < live; number++ {
		go func() {
			for {
				laps.Add(1)
				runtime.Gosched()
			}
		}()
	}
	select {}
}
