/* A load-balancing rule: of the instances that can be served from, the one with fewest requests under way. */
#define EXPORT(name) __attribute__((export_name(name)))
typedef unsigned int u32;
typedef unsigned long long u64;

/* A record of the table; see the ABI's document. */
typedef struct {
  u64 id_hash;
  double weight;
  u64 joined_ms;
  u32 zone, cluster, flags, active;
  float ewma_us;
  u32 failure_run, metadata, metadata_length, id, reserved;
} Record;
_Static_assert(sizeof(Record) == 64, "records have 64 bytes");

enum { SERVING = 15, WANTED = SERVING | 16 | 32 | 128 | 512 };

/* Two halves of memory: the table in one, what the host writes next in the other. */
static char halves[2][1 << 20] __attribute__((aligned(16)));
static u32 next, used;
static const Record *table;
static u32 count;

EXPORT("lb_abi") u32 lb_abi(void) { return 1; }

EXPORT("lb_alloc") u32 lb_alloc(u32 length) {
  u32 at = (used + 15) & ~15u;
  if (length == 0 || length > sizeof halves[0] - at) return 0;
  used = at + length;
  return (u32)(halves[next] + at);
}

EXPORT("lb_init") u32 lb_init(u32 at, u32 length) { return used = 0; }

EXPORT("lb_error") u64 lb_error(void) { return 0; }

EXPORT("lb_update") u32 lb_update(u32 at, u32 records, u64 epoch) {
  table = (const Record *)at;
  count = records;
  next = !next;
  return used = 0;
}

EXPORT("lb_choose") int lb_choose(u64 key_hash, u64 rand, u64 now_ms, u32 flags) {
  int best = -1;
  for (u32 i = 0; i < count; i++) {
    /* Begins elsewhere each time, so that a tie is not always the first one's. */
    u32 at = (u32)((rand + i) % count);
    int usable = (table[at].flags & WANTED) == SERVING && table[at].weight > 0;
    if (usable && (best < 0 || table[at].active < table[best].active)) best = (int)at;
  }
  return best;
}
