; The dot products of a few queries with many rows, with AVX-512 VNNI.
;
; The instruction multiplies unsigned by signed bytes, so the rows come with 128 added; what that
; adds to each product, 128 times the sum of the query's codes, is taken off in advance. Four sums of
; sixteen rows stay in registers, so that no instruction waits for the one before it: a single query
; is then bound by the memory that the rows are read from.

declare <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32>, <16 x i32>, <16 x i32>)

; queries  int8[count, 16 · fours]
; starts   int32[count]: what is taken off
; rows     uint8[blocks, 4 · fours, 16, 4]: sixteen rows, four numbers of it, row, number
; out      int32[count, stride]; the first 16 · blocks of each line are written
define void @dots(ptr %queries, i64 %count, ptr %starts, ptr %rows, i64 %blocks, i64 %fours,
                  ptr %out, i64 %stride) #0 {
entry:
  %query_bytes = shl i64 %fours, 4
  %block_bytes = shl i64 %fours, 8
  %line_bytes = shl i64 %stride, 2
  %some.queries = icmp ne i64 %count, 0
  %some.blocks = icmp ne i64 %blocks, 0
  %some = and i1 %some.queries, %some.blocks
  br i1 %some, label %query, label %exit

query:
  %q = phi i64 [ 0, %entry ], [ %q.next, %query.done ]
  %q.offset = mul i64 %q, %query_bytes
  %numbers = getelementptr i8, ptr %queries, i64 %q.offset
  %line.offset = mul i64 %q, %line_bytes
  %line = getelementptr i8, ptr %out, i64 %line.offset
  %start.offset = shl i64 %q, 2
  %start.at = getelementptr i8, ptr %starts, i64 %start.offset
  %start.value = load i32, ptr %start.at, align 4
  %start.one = insertelement <16 x i32> poison, i32 %start.value, i64 0
  %start = shufflevector <16 x i32> %start.one, <16 x i32> poison, <16 x i32> zeroinitializer
  br label %block

block:
  %b = phi i64 [ 0, %query ], [ %b.next, %block.done ]
  %b.offset = mul i64 %b, %block_bytes
  %base = getelementptr i8, ptr %rows, i64 %b.offset
  br label %four

four:
  %f = phi i64 [ 0, %block ], [ %f.next, %four ]
  %s.0 = phi <16 x i32> [ %start, %block ], [ %t.0, %four ]
  %s.1 = phi <16 x i32> [ zeroinitializer, %block ], [ %t.1, %four ]
  %s.2 = phi <16 x i32> [ zeroinitializer, %block ], [ %t.2, %four ]
  %s.3 = phi <16 x i32> [ zeroinitializer, %block ], [ %t.3, %four ]
  %r.offset = shl i64 %f, 8
  %r.at.0 = getelementptr i8, ptr %base, i64 %r.offset
  %r.at.1 = getelementptr i8, ptr %r.at.0, i64 64
  %r.at.2 = getelementptr i8, ptr %r.at.0, i64 128
  %r.at.3 = getelementptr i8, ptr %r.at.0, i64 192
  %r.0 = load <16 x i32>, ptr %r.at.0, align 64
  %r.1 = load <16 x i32>, ptr %r.at.1, align 64
  %r.2 = load <16 x i32>, ptr %r.at.2, align 64
  %r.3 = load <16 x i32>, ptr %r.at.3, align 64
  %n.offset = shl i64 %f, 4
  %n.at.0 = getelementptr i8, ptr %numbers, i64 %n.offset
  %n.at.1 = getelementptr i8, ptr %n.at.0, i64 4
  %n.at.2 = getelementptr i8, ptr %n.at.0, i64 8
  %n.at.3 = getelementptr i8, ptr %n.at.0, i64 12
  %n.value.0 = load i32, ptr %n.at.0, align 1
  %n.value.1 = load i32, ptr %n.at.1, align 1
  %n.value.2 = load i32, ptr %n.at.2, align 1
  %n.value.3 = load i32, ptr %n.at.3, align 1
  %n.one.0 = insertelement <16 x i32> poison, i32 %n.value.0, i64 0
  %n.one.1 = insertelement <16 x i32> poison, i32 %n.value.1, i64 0
  %n.one.2 = insertelement <16 x i32> poison, i32 %n.value.2, i64 0
  %n.one.3 = insertelement <16 x i32> poison, i32 %n.value.3, i64 0
  %n.0 = shufflevector <16 x i32> %n.one.0, <16 x i32> poison, <16 x i32> zeroinitializer
  %n.1 = shufflevector <16 x i32> %n.one.1, <16 x i32> poison, <16 x i32> zeroinitializer
  %n.2 = shufflevector <16 x i32> %n.one.2, <16 x i32> poison, <16 x i32> zeroinitializer
  %n.3 = shufflevector <16 x i32> %n.one.3, <16 x i32> poison, <16 x i32> zeroinitializer
  %t.0 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %s.0, <16 x i32> %r.0, <16 x i32> %n.0)
  %t.1 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %s.1, <16 x i32> %r.1, <16 x i32> %n.1)
  %t.2 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %s.2, <16 x i32> %r.2, <16 x i32> %n.2)
  %t.3 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %s.3, <16 x i32> %r.3, <16 x i32> %n.3)
  %f.next = add i64 %f, 1
  %f.more = icmp ult i64 %f.next, %fours
  br i1 %f.more, label %four, label %block.done

block.done:
  %sum.01 = add <16 x i32> %t.0, %t.1
  %sum.23 = add <16 x i32> %t.2, %t.3
  %sum = add <16 x i32> %sum.01, %sum.23
  %to.offset = shl i64 %b, 6
  %to = getelementptr i8, ptr %line, i64 %to.offset
  store <16 x i32> %sum, ptr %to, align 4
  %b.next = add i64 %b, 1
  %b.more = icmp ult i64 %b.next, %blocks
  br i1 %b.more, label %block, label %query.done

query.done:
  %q.next = add i64 %q, 1
  %q.more = icmp ult i64 %q.next, %count
  br i1 %q.more, label %query, label %exit

exit:
  ret void
}

attributes #0 = { "min-legal-vector-width"="512" "prefer-vector-width"="512" }
