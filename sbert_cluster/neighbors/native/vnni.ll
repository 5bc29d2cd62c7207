; The products of 32 × 32 rows of codes with AVX-512 VNNI.
;
; The instruction multiplies unsigned by signed bytes, so the left codes come with 128 added; what
; that adds to a product, 128 times the sum of the right codes, is taken off in advance. Four left
; rows meet 32 right ones at a time: eight sums stay in registers.

declare <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32>, <16 x i32>, <16 x i32>)
declare <16 x i32> @llvm.smax.v16i32(<16 x i32>, <16 x i32>)

define void @begin() #0 {
  ret void
}

define void @end() #0 {
  ret void
}

define <16 x i32> @products(ptr %left, i64 %row_bytes, ptr %right, i64 %chunks, ptr %scratch) #0 {
entry:
  %half_bytes = shl i64 %chunks, 10
  %groups = shl i64 %chunks, 4
  %low.one = insertelement <16 x i32> poison, i32 -2147483648, i64 0
  %low = shufflevector <16 x i32> %low.one, <16 x i32> poison, <16 x i32> zeroinitializer
  ; four bytes of 128
  %offset.one = insertelement <16 x i32> poison, i32 -2139062144, i64 0
  %offset = shufflevector <16 x i32> %offset.one, <16 x i32> poison, <16 x i32> zeroinitializer
  br label %excess

excess:
  %e = phi i64 [ 0, %entry ], [ %e.next, %excess ]
  %x.0 = phi <16 x i32> [ zeroinitializer, %entry ], [ %y.0, %excess ]
  %x.1 = phi <16 x i32> [ zeroinitializer, %entry ], [ %y.1, %excess ]
  %e.offset = shl i64 %e, 6
  %e.at.0 = getelementptr i8, ptr %right, i64 %e.offset
  %e.at.1 = getelementptr i8, ptr %e.at.0, i64 %half_bytes
  %e.0 = load <16 x i32>, ptr %e.at.0, align 64
  %e.1 = load <16 x i32>, ptr %e.at.1, align 64
  %y.0 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %x.0, <16 x i32> %offset, <16 x i32> %e.0)
  %y.1 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %x.1, <16 x i32> %offset, <16 x i32> %e.1)
  %e.next = add i64 %e, 1
  %e.more = icmp ult i64 %e.next, %groups
  br i1 %e.more, label %excess, label %turn

turn:
  %start.0 = sub <16 x i32> zeroinitializer, %y.0
  %start.1 = sub <16 x i32> zeroinitializer, %y.1
  br label %rows

rows:
  %row = phi i64 [ 0, %turn ], [ %row.next, %store ]
  %highest = phi <16 x i32> [ %low, %turn ], [ %highest.next, %store ]
  %row.offset = mul i64 %row, %row_bytes
  %left.0 = getelementptr i8, ptr %left, i64 %row.offset
  %left.1 = getelementptr i8, ptr %left.0, i64 %row_bytes
  %left.2 = getelementptr i8, ptr %left.1, i64 %row_bytes
  %left.3 = getelementptr i8, ptr %left.2, i64 %row_bytes
  br label %group

group:
  %g = phi i64 [ 0, %rows ], [ %g.next, %group ]
  %s.00 = phi <16 x i32> [ %start.0, %rows ], [ %t.00, %group ]
  %s.01 = phi <16 x i32> [ %start.1, %rows ], [ %t.01, %group ]
  %s.10 = phi <16 x i32> [ %start.0, %rows ], [ %t.10, %group ]
  %s.11 = phi <16 x i32> [ %start.1, %rows ], [ %t.11, %group ]
  %s.20 = phi <16 x i32> [ %start.0, %rows ], [ %t.20, %group ]
  %s.21 = phi <16 x i32> [ %start.1, %rows ], [ %t.21, %group ]
  %s.30 = phi <16 x i32> [ %start.0, %rows ], [ %t.30, %group ]
  %s.31 = phi <16 x i32> [ %start.1, %rows ], [ %t.31, %group ]
  %right.offset = shl i64 %g, 6
  %left.offset = shl i64 %g, 2
  %b.at.0 = getelementptr i8, ptr %right, i64 %right.offset
  %b.at.1 = getelementptr i8, ptr %b.at.0, i64 %half_bytes
  %b.0 = load <16 x i32>, ptr %b.at.0, align 64
  %b.1 = load <16 x i32>, ptr %b.at.1, align 64
  %a.at.0 = getelementptr i8, ptr %left.0, i64 %left.offset
  %a.value.0 = load i32, ptr %a.at.0, align 4
  %a.one.0 = insertelement <16 x i32> poison, i32 %a.value.0, i64 0
  %a.0 = shufflevector <16 x i32> %a.one.0, <16 x i32> poison, <16 x i32> zeroinitializer
  %t.00 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %s.00, <16 x i32> %a.0, <16 x i32> %b.0)
  %t.01 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %s.01, <16 x i32> %a.0, <16 x i32> %b.1)
  %a.at.1 = getelementptr i8, ptr %left.1, i64 %left.offset
  %a.value.1 = load i32, ptr %a.at.1, align 4
  %a.one.1 = insertelement <16 x i32> poison, i32 %a.value.1, i64 0
  %a.1 = shufflevector <16 x i32> %a.one.1, <16 x i32> poison, <16 x i32> zeroinitializer
  %t.10 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %s.10, <16 x i32> %a.1, <16 x i32> %b.0)
  %t.11 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %s.11, <16 x i32> %a.1, <16 x i32> %b.1)
  %a.at.2 = getelementptr i8, ptr %left.2, i64 %left.offset
  %a.value.2 = load i32, ptr %a.at.2, align 4
  %a.one.2 = insertelement <16 x i32> poison, i32 %a.value.2, i64 0
  %a.2 = shufflevector <16 x i32> %a.one.2, <16 x i32> poison, <16 x i32> zeroinitializer
  %t.20 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %s.20, <16 x i32> %a.2, <16 x i32> %b.0)
  %t.21 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %s.21, <16 x i32> %a.2, <16 x i32> %b.1)
  %a.at.3 = getelementptr i8, ptr %left.3, i64 %left.offset
  %a.value.3 = load i32, ptr %a.at.3, align 4
  %a.one.3 = insertelement <16 x i32> poison, i32 %a.value.3, i64 0
  %a.3 = shufflevector <16 x i32> %a.one.3, <16 x i32> poison, <16 x i32> zeroinitializer
  %t.30 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %s.30, <16 x i32> %a.3, <16 x i32> %b.0)
  %t.31 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %s.31, <16 x i32> %a.3, <16 x i32> %b.1)
  %g.next = add i64 %g, 1
  %g.more = icmp ult i64 %g.next, %groups
  br i1 %g.more, label %group, label %store

store:
  ; Quarter: 2 KB for rows 16-31, 1 KB for columns 16-31.
  %row.high = lshr i64 %row, 4
  %quarter = shl i64 %row.high, 11
  %row.low = and i64 %row, 15
  %line = shl i64 %row.low, 6
  %place = or i64 %quarter, %line
  %o.00 = add i64 %place, 0
  %p.00 = getelementptr i8, ptr %scratch, i64 %o.00
  store <16 x i32> %t.00, ptr %p.00, align 64
  %m.00 = call <16 x i32> @llvm.smax.v16i32(<16 x i32> %highest, <16 x i32> %t.00)
  %o.01 = add i64 %place, 1024
  %p.01 = getelementptr i8, ptr %scratch, i64 %o.01
  store <16 x i32> %t.01, ptr %p.01, align 64
  %m.01 = call <16 x i32> @llvm.smax.v16i32(<16 x i32> %m.00, <16 x i32> %t.01)
  %o.10 = add i64 %place, 64
  %p.10 = getelementptr i8, ptr %scratch, i64 %o.10
  store <16 x i32> %t.10, ptr %p.10, align 64
  %m.10 = call <16 x i32> @llvm.smax.v16i32(<16 x i32> %m.01, <16 x i32> %t.10)
  %o.11 = add i64 %place, 1088
  %p.11 = getelementptr i8, ptr %scratch, i64 %o.11
  store <16 x i32> %t.11, ptr %p.11, align 64
  %m.11 = call <16 x i32> @llvm.smax.v16i32(<16 x i32> %m.10, <16 x i32> %t.11)
  %o.20 = add i64 %place, 128
  %p.20 = getelementptr i8, ptr %scratch, i64 %o.20
  store <16 x i32> %t.20, ptr %p.20, align 64
  %m.20 = call <16 x i32> @llvm.smax.v16i32(<16 x i32> %m.11, <16 x i32> %t.20)
  %o.21 = add i64 %place, 1152
  %p.21 = getelementptr i8, ptr %scratch, i64 %o.21
  store <16 x i32> %t.21, ptr %p.21, align 64
  %m.21 = call <16 x i32> @llvm.smax.v16i32(<16 x i32> %m.20, <16 x i32> %t.21)
  %o.30 = add i64 %place, 192
  %p.30 = getelementptr i8, ptr %scratch, i64 %o.30
  store <16 x i32> %t.30, ptr %p.30, align 64
  %m.30 = call <16 x i32> @llvm.smax.v16i32(<16 x i32> %m.21, <16 x i32> %t.30)
  %o.31 = add i64 %place, 1216
  %p.31 = getelementptr i8, ptr %scratch, i64 %o.31
  store <16 x i32> %t.31, ptr %p.31, align 64
  %highest.next = call <16 x i32> @llvm.smax.v16i32(<16 x i32> %m.30, <16 x i32> %t.31)
  %row.next = add i64 %row, 4
  %row.more = icmp ult i64 %row.next, 32
  br i1 %row.more, label %rows, label %exit

exit:
  ret <16 x i32> %highest.next
}

attributes #0 = { "target-features"="+avx512f,+avx512vnni" "min-legal-vector-width"="512" "prefer-vector-width"="512" }
