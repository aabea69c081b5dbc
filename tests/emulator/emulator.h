// Runs CUDA kernels on the processor. The lanes of a block are fibres that take turns at every warp operation (the default, quick and
// repeatable), or threads (-DEMULATE_THREADS, to be built with -fsanitize=thread, which then reports races between lanes).
//
// Stricter than a GPU where that finds mistakes: shuffles and ballots meet through relaxed atomics and order no other memory, as CUDA
// promises no more; shared memory starts as NaN and must not be written behind its end; a warp operation that not all lanes reach is
// an error. emulator::deleted is the line of a __syncwarp to leave out. What it cannot show: speed, launch limits, real scheduling.
#pragma once
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#define __device__
#define __global__
#define __shared__
#define __launch_bounds__(n)
using std::fabs;
using std::fmax;
using std::max;
using std::min;
using std::sqrt;

struct Index { unsigned x = 0; };
inline Index blockIdx, blockDim, gridDim;
constexpr size_t LARGEST = 1 << 18;         // bytes of shared memory, more than any GPU has
inline double shared[LARGEST / 8 + 16];     // what `extern __shared__ double shared[]` in a kernel refers to

namespace emulator {

inline int deleted = 0;

[[noreturn]] inline void fail(const char* why) {
    std::fprintf(stderr, "emulator: %s\n", why);
    std::_Exit(3);
}

inline void prepare(size_t bytes) {
    if (bytes > LARGEST) fail("too much shared memory");
    std::memset(shared, 0xff, sizeof shared);  // NaN as a double, -1 as an int
}

inline void check_end(size_t bytes) {
    const unsigned char* all = reinterpret_cast<unsigned char*>(shared);
    for (size_t i = bytes; i < sizeof shared; ++i)
        if (all[i] != 0xff) fail("write behind the end of shared memory");
}

}  // namespace emulator

#ifdef EMULATE_THREADS

#include <barrier>
#include <thread>

inline thread_local Index threadIdx;

namespace emulator {

// A meeting that orders nothing: all 32 lanes arrive, by relaxed atomics only. (On x86-64 the processor keeps the order by itself.)
struct Meeting {
    std::atomic<unsigned> arrived{0}, round{0};
    void wait() {
        const unsigned mine = round.load(std::memory_order_relaxed);
        std::atomic_signal_fence(std::memory_order_seq_cst);
        if (arrived.fetch_add(1, std::memory_order_relaxed) == 31) {
            arrived.store(0, std::memory_order_relaxed);
            std::atomic_signal_fence(std::memory_order_seq_cst);
            round.fetch_add(1, std::memory_order_relaxed);
        }
        for (int spins = 0; round.load(std::memory_order_relaxed) == mine;) {
            if (++spins > 2000000) fail("a warp operation that not all lanes reach");
            std::this_thread::yield();
        }
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }
};

struct Warp {
    Meeting meeting;
    std::barrier<> order{32};
    std::atomic<unsigned long long> slot[2][32];
};
inline std::vector<std::unique_ptr<Warp>> warps;
inline thread_local unsigned parity;

inline Warp& warp() { return *warps[threadIdx.x / 32]; }
inline void meet() { warp().meeting.wait(); }
inline void synchronize() { warp().order.arrive_and_wait(); }
inline void put(unsigned long long v) { warp().slot[parity][threadIdx.x % 32].store(v, std::memory_order_relaxed); }
inline unsigned long long take(unsigned lane) { return warp().slot[parity][lane].load(std::memory_order_relaxed); }
inline void turn() { parity ^= 1; }

template <class F> void launch(unsigned grid, unsigned block, size_t bytes, F kernel) {
    gridDim.x = grid, blockDim.x = block;
    for (blockIdx.x = 0; blockIdx.x < grid; ++blockIdx.x) {
        prepare(bytes);
        warps.clear();
        for (unsigned w = 0; w < block / 32; ++w) warps.push_back(std::make_unique<Warp>());
        std::vector<std::thread> lanes;
        for (unsigned i = 0; i < block; ++i) lanes.emplace_back([&kernel, i] { threadIdx.x = i, parity = 0, kernel(); });
        for (auto& lane : lanes) lane.join();
        check_end(bytes);
    }
}

}  // namespace emulator

#else

#include <ucontext.h>

namespace emulator {

enum State { RUNNING, WAITING, DONE };
struct Fibre {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(1 << 16);
    State state;
    unsigned parity;
};
inline std::vector<Fibre> fibres;
inline ucontext_t scheduler;
inline unsigned current;
inline std::function<void()> body;
inline std::vector<unsigned long long> slots[2];

inline void meet() {
    fibres[current].state = WAITING;
    swapcontext(&fibres[current].context, &scheduler);
}
inline void synchronize() { meet(); }
inline void put(unsigned long long v) { slots[fibres[current].parity][current] = v; }
inline unsigned long long take(unsigned lane) { return slots[fibres[current].parity][current / 32 * 32 + lane]; }
inline void turn() { fibres[current].parity ^= 1; }
inline void run() { body(), fibres[current].state = DONE; }

// Lets the 32 lanes of a warp run from one meeting to the next, in rising and falling order by turns.
inline bool step(unsigned warp, bool falling) {
    unsigned done = 0;
    for (unsigned l = 0; l < 32; ++l) {
        current = 32 * warp + (falling ? 31 - l : l);
        fibres[current].state = RUNNING;
        swapcontext(&scheduler, &fibres[current].context);
        done += fibres[current].state == DONE;
    }
    if (done && done != 32) fail("a warp operation that not all lanes reach");
    return done == 0;
}

template <class F> void launch(unsigned grid, unsigned block, size_t bytes, F kernel) {
    gridDim.x = grid, blockDim.x = block, body = kernel;
    if (fibres.size() < block) fibres.resize(block);
    for (auto& side : slots) side.assign(block, 0);
    for (blockIdx.x = 0; blockIdx.x < grid; ++blockIdx.x) {
        prepare(bytes);
        for (unsigned i = 0; i < block; ++i) {
            Fibre& f = fibres[i];
            getcontext(&f.context);
            f.context.uc_stack.ss_sp = f.stack.data(), f.context.uc_stack.ss_size = f.stack.size(), f.context.uc_link = &scheduler;
            f.parity = 0;
            makecontext(&f.context, run, 0);
        }
        for (unsigned w = 0; w < block / 32; ++w)  // warps of these kernels do not talk to each other
            for (bool falling = false; step(w, falling); falling = !falling) {}
        check_end(bytes);
    }
}

struct Thread { struct { operator unsigned() const { return current; } } x; };

}  // namespace emulator

inline emulator::Thread threadIdx;

#endif

// ------------------------------------------------------------------------------------------------------- warp operations

namespace emulator {

inline void sync_at(int line) { if (line != deleted) synchronize(); }

template <class T> unsigned long long pack(T v) {
    static_assert(sizeof(T) <= 8);
    unsigned long long u = 0;
    return std::memcpy(&u, &v, sizeof v), u;
}

template <class T> T shuffle(T v, unsigned from) {
    put(pack(v)), meet();
    const unsigned long long u = take(from % 32);
    turn();  // two sides by turns: nobody can be two operations ahead
    return std::memcpy(&v, &u, sizeof v), v;
}

}  // namespace emulator

#define __syncwarp() emulator::sync_at(__LINE__)
template <class T> T __shfl_sync(unsigned, T v, int from) { return emulator::shuffle(v, unsigned(from)); }
template <class T> T __shfl_xor_sync(unsigned, T v, int mask) { return emulator::shuffle(v, (unsigned(threadIdx.x) % 32) ^ unsigned(mask)); }
inline unsigned __ballot_sync(unsigned, int vote) {
    emulator::put(vote != 0), emulator::meet();
    unsigned votes = 0;
    for (unsigned l = 0; l < 32; ++l) votes |= unsigned(emulator::take(l)) << l;
    return emulator::turn(), votes;
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
