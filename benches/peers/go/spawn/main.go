// Starts so many goroutines and waits for them all, again and again, on one OS thread: spawn LIVE SECONDS,
// prints the nanoseconds for one.
package main

import (
	"runtime"
	"sync"

	"peers/laps"
)

func main() {
	runtime.GOMAXPROCS(1)
	live, seconds := laps.Number(1), laps.Seconds(2)
	laps := laps.New(live, seconds)
	results := make([]int, live)
	for {
		var all sync.WaitGroup
		all.Add(live)
		for number := 0; number < live; number++ {
			go func() {
				results[number] = number
				all.Done()
			}()
		}
		all.Wait()
		for number, result := range results {
			if result != number {
				panic("another result")
			}
		}
		laps.Add(live)
	}
}
