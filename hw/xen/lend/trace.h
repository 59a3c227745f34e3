#include "trace/trace-hw_xen_lend.h"
