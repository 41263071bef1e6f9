/* A CUDA and a cuDNN that compute nothing: memory is the host's, kernels do not run, every call
   succeeds. onnxruntime's CUDA provider loads on them, so what it takes of a graph, records and
   copies can be seen on any machine. What is not defined here is generated: it returns 0. */

#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef void *Stream;

enum { OUT_OF_MEMORY = 2, CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901, READS = 4096 };

static char handle[256];
static int captures, launches, capturing, broken, stale, landings;
static size_t used, most = (size_t)8 << 30;

/* What a recording copies from the host: it is read anew at every launch. */
static struct {
    const void *from;
    size_t size;
    char copy[256];
    int recording;
} reads[READS];
static int known;

int pretend_captures(void) { return captures; }
int pretend_launches(void) { return launches; }
int pretend_stale(void) { return stale; }
int pretend_landings(void) { return landings; }
void pretend_memory(size_t bytes) { most = used + bytes; }

/* While one thread records, in the mode that onnxruntime asks for, no thread may do such a thing. */
static int unsafe(void) {
    broken |= capturing;
    return capturing ? CAPTURE_UNSUPPORTED : 0;
}
static int made(void **p, size_t n) {
    n = (n / 256 + 1) * 256;
    *p = aligned_alloc(256, n);
    memset(*p, 0, n);
    return 0;
}
int cudaMalloc(void **p, size_t n) {
    if (unsafe())
        return CAPTURE_UNSUPPORTED;
    if (used + n > most)
        return OUT_OF_MEMORY;
    made(p, n);
    used += malloc_usable_size(*p);
    return 0;
}
int cudaMallocHost(void **p, size_t n) { return unsafe() ? CAPTURE_UNSUPPORTED : made(p, n); }
int cudaHostAlloc(void **p, size_t n, unsigned flags) { return cudaMallocHost(p, n); }
int cudaMallocFromPoolAsync(void **p, size_t n, void *pool, Stream s) { return cudaMalloc(p, n); }
int cudaFree(void *p) {
    used -= p ? malloc_usable_size(p) : 0;
    free(p);
    return unsafe();
}
int cudaFreeHost(void *p) { free(p); return unsafe(); }
int cudaFreeAsync(void *p, Stream s) { return cudaFree(p); }
int cudaMemcpy(void *to, const void *from, size_t n, int kind) {
    if (unsafe())
        return CAPTURE_UNSUPPORTED;
    memcpy(to, from, n);
    return 0;
}
int cudaMemcpyAsync(void *to, const void *from, size_t n, int kind, Stream s) {
    memcpy(to, from, n);
    landings += kind == 2;
    if (capturing && kind == 1 && n <= sizeof reads->copy && known < READS) {
        reads[known].from = from, reads[known].size = n, reads[known].recording = captures;
        memcpy(reads[known++].copy, from, n);
    }
    return 0;
}
int cudaStreamSynchronize(Stream s) { return unsafe(); }
int cudaDeviceSynchronize(void) { return unsafe(); }
int cudaMemcpy2DAsync(void *to, size_t pitch, const void *from, size_t step, size_t width,
                      size_t height, int kind, Stream s) {
    for (size_t i = 0; i < height; i++)
        memcpy((char *)to + i * pitch, (const char *)from + i * step, width);
    return 0;
}
int cudaMemset(void *p, int value, size_t n) { memset(p, value, n); return 0; }
int cudaMemsetAsync(void *p, int value, size_t n, Stream s) { memset(p, value, n); return 0; }
int cudaMemGetInfo(size_t *unused, size_t *all) {
    *all = (size_t)8 << 30;
    *unused = most - used;
    return 0;
}

int cudaGetDevice(int *device) { *device = 0; return 0; }
int cudaGetDeviceCount(int *count) { *count = 1; return 0; }
int cudaDriverGetVersion(int *version) { *version = 13000; return 0; }
int cudaRuntimeGetVersion(int *version) { *version = 13000; return 0; }
int cudaDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? 9 : attribute == 76 ? 0 : 1024; /* compute capability 9.0 */
    return 0;
}
int cudaGetDeviceProperties(char *all, int device) { /* places of CUDA 13's cudaDeviceProp */
    memset(all, 0, 1008);
    strcpy(all, "pretended");
    *(size_t *)(all + 288) = (size_t)8 << 30; /* totalGlobalMem */
    *(size_t *)(all + 296) = 48 << 10;        /* sharedMemPerBlock */
    *(int *)(all + 304) = 1 << 16;            /* regsPerBlock */
    *(int *)(all + 308) = 32;                 /* warpSize */
    *(int *)(all + 320) = 1024;               /* maxThreadsPerBlock */
    *(int *)(all + 324) = *(int *)(all + 328) = 1024, *(int *)(all + 332) = 64;
    *(int *)(all + 336) = 0x7fffffff, *(int *)(all + 340) = *(int *)(all + 344) = 65535;
    *(int *)(all + 360) = 9;                  /* major */
    *(int *)(all + 384) = 100;                /* multiProcessorCount */
    *(int *)(all + 604) = 2048;               /* maxThreadsPerMultiProcessor */
    *(size_t *)(all + 624) = 200 << 10;       /* sharedMemPerMultiprocessor */
    *(size_t *)(all + 672) = 200 << 10;       /* sharedMemPerBlockOptin */
    return 0;
}
int cudaFuncGetAttributes(char *all, const void *kernel) {
    memset(all, 0, 64);
    *(int *)(all + 24) = 1024; /* maxThreadsPerBlock */
    return 0;
}
int cudaPointerGetAttributes(char *all, const void *p) {
    memset(all, 0, 24);
    *(int *)all = 2; /* cudaMemoryTypeDevice */
    return 0;
}
int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *n, const void *kernel, int size,
                                                           size_t shared, unsigned flags) {
    *n = 1;
    return 0;
}
const char *cudaGetErrorString(int error) {
    return error == OUT_OF_MEMORY ? "out of memory" : "pretended";
}
const char *cudaGetErrorName(int error) { return "pretended"; }

int cudaStreamCreate(Stream *s) { *s = handle; return 0; }
int cudaStreamCreateWithFlags(Stream *s, unsigned flags) { *s = handle; return 0; }
int cudaStreamIsCapturing(Stream s, int *status) { *status = capturing; return 0; }
int cudaStreamBeginCapture(Stream s, int mode) {
    captures++;
    capturing = mode == 0; /* global: of all threads */
    return 0;
}
int cudaStreamEndCapture(Stream s, void **graph) {
    int failed = broken;
    capturing = broken = 0;
    *graph = failed ? NULL : handle;
    return failed ? CAPTURE_INVALIDATED : 0;
}
int cudaGraphInstantiate(void **made, void *graph, unsigned long long flags) {
    *made = (void *)(intptr_t)captures;
    return 0;
}
int cudaGraphLaunch(void *made, Stream s) {
    launches++;
    for (int i = 0; i < known; i++)
        if (reads[i].recording == (intptr_t)made)
            stale += memcmp(reads[i].from, reads[i].copy, reads[i].size) != 0;
    return 0;
}
int cudaLaunchHostFunc(Stream s, void (*run)(void *), void *data) { run(data); return 0; }
int cudaEventCreate(void **event) { *event = handle; return 0; }
int cudaEventCreateWithFlags(void **event, unsigned flags) { *event = handle; return 0; }
int cudaEventElapsedTime(float *ms, void *from, void *to) { *ms = 1; return 0; }
int cudaMemPoolCreate(void **pool, const void *properties) { *pool = handle; return 0; }
int cudaMemPoolGetAttribute(void *pool, int attribute, void *value) {
    *(uint64_t *)value = 0;
    return 0;
}
int cudaGetDriverEntryPointByVersion(const char *name, void **function, unsigned version,
                                     unsigned long long flags, int *result) {
    *function = NULL;
    if (result)
        *result = 1; /* cudaDriverEntryPointSymbolNotFound */
    return 0;
}
int cudaLibraryGetKernel(void **kernel, void *library, const char *name) {
    *kernel = handle;
    return 0;
}
int cudaLibraryLoadData(void **library, const void *code, void *a, void *b, unsigned c, void *d,
                        void *e, unsigned f) {
    *library = handle;
    return 0;
}
int __cudaGetKernel(const void **kernel, const void *entry) { *kernel = entry; return 0; }
void **__cudaRegisterFatBinary(void *binary) { static void *known; return &known; }

size_t cudnnGetVersion(void) { return 91300; }
const char *cudnnGetErrorString(int error) { return "pretended"; }
void cudnnGetLastErrorString(char *text, size_t n) { if (n) text[0] = 0; }
int cudnnGetStream(void *h, Stream *s) { *s = handle; return 0; }
int cudnnBackendCreateDescriptor(int kind, void **made) { *made = handle; return 0; }
int cudnnBackendGetAttribute(void *d, int name, int type, int64_t wanted, int64_t *count, void *to) {
    if (count)
        *count = 1;
    if (wanted > 0 && to && type != 15) /* not descriptors, which the caller has made */
        memset(to, 0, type == 3 || type == 5 || type == 6 ? 8 : 4);
    return 0;
}
int cudnnGetConvolutionForwardWorkspaceSize(void *h, void *a, void *b, void *c, void *d, int e,
                                            size_t *size) {
    *size = 0;
    return 0;
}
int cudnnGetConvolutionForwardAlgorithm_v7(void *h, void *a, void *b, void *c, void *d, int wanted,
                                           int *found, char *all) {
    *found = 1;
    memset(all, 0, 48);
    return 0;
}
int cudnnGetReductionWorkspaceSize(void *h, void *a, void *b, void *c, size_t *size) {
    *size = 0;
    return 0;
}
int cudnnGetReductionIndicesSize(void *h, void *a, void *b, void *c, size_t *size) {
    *size = 0;
    return 0;
}
